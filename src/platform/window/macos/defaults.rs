//! What AppKit does of itself and must not do here.

use objc2::runtime::AnyObject;
use objc2_foundation::{NSDictionary, NSString, NSUserDefaults, ns_string};

/// Tells AppKit, for this process only. Call it before the window's event loop starts.
pub fn set() {
    let names: [&NSString; 2] = [
        // The command line is read by ours; AppKit would open each file a second time.
        ns_string!("NSTreatUnknownArgumentsAsOpen"),
        // App Nap: sessions go on at full speed behind other windows.
        ns_string!("NSAppSleepDisabled"),
    ];
    // AppKit reads them as strings.
    let values: [&AnyObject; 2] = [ns_string!("NO"), ns_string!("YES")];
    let defaults = NSDictionary::from_slices(&names, &values);
    // SAFETY: strings are property-list objects, as the method asks for.
    unsafe { NSUserDefaults::standardUserDefaults().registerDefaults(&defaults) };
}
