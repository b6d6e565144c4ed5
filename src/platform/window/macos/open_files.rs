//! Files that a person opens with the app: from the Finder, the Dock or `open -a LLMEval`.
//!
//! They come as the Apple event "open documents", sent between the two notifications "will finish launching" and "did
//! finish launching", and later while the app runs. winit 0.30 owns the application's delegate, so the event is taken
//! from the event manager; AppKit puts its own handler there before the first notification, hence ours after it.

use objc2::rc::Retained;
use objc2::runtime::NSObject;
use objc2::{AnyThread, DefinedClass, define_class, msg_send, sel};
use objc2_foundation::{NSAppleEventDescriptor, NSAppleEventManager, NSNotification, NSNotificationCenter, ns_string};
use std::path::PathBuf;

/// `kCoreEventClass`, `kAEOpenDocuments`, `keyDirectObject` and `typeFileURL` of Apple's headers.
const CORE_EVENTS: u32 = u32::from_be_bytes(*b"aevt");
const OPEN_DOCUMENTS: u32 = u32::from_be_bytes(*b"odoc");
const DIRECT_OBJECT: u32 = u32::from_be_bytes(*b"----");
const FILE_URL: u32 = u32::from_be_bytes(*b"furl");

define_class!(
    // SAFETY: NSObject asks nothing of its subclasses, and this one implements no Drop.
    #[unsafe(super(NSObject))]
    #[name = "LLMEvalOpenFiles"]
    #[ivars = Box<dyn Fn(PathBuf)>]
    struct OpenFiles;

    impl OpenFiles {
        #[unsafe(method(applicationWillFinishLaunching:))]
        fn will_finish_launching(&self, _notification: &NSNotification) {
            let manager = NSAppleEventManager::sharedAppleEventManager();
            // SAFETY: the method below has the signature that the event manager calls.
            unsafe {
                manager.setEventHandler_andSelector_forEventClass_andEventID(
                    self,
                    sel!(openDocuments:withReply:),
                    CORE_EVENTS,
                    OPEN_DOCUMENTS,
                );
            }
        }

        #[unsafe(method(openDocuments:withReply:))]
        fn open_documents(&self, event: &NSAppleEventDescriptor, _reply: &NSAppleEventDescriptor) {
            let Some(documents) = event.paramDescriptorForKeyword(DIRECT_OBJECT) else { return };
            // Apple events count from 1; a single document may come without a list, which then counts 0.
            let listed = (1..=documents.numberOfItems()).filter_map(|index| documents.descriptorAtIndex(index));
            let mut paths: Vec<PathBuf> = listed.filter_map(|document| path_of(&document)).collect();
            if paths.is_empty() {
                paths.extend(path_of(&documents));
            }
            paths.into_iter().for_each(self.ivars());
        }
    }
);

impl OpenFiles {
    fn new(on_file: Box<dyn Fn(PathBuf)>) -> Retained<Self> {
        let this = Self::alloc().set_ivars(on_file);
        // SAFETY: NSObject's init has this signature.
        unsafe { msg_send![super(this), init] }
    }
}

fn path_of(document: &NSAppleEventDescriptor) -> Option<PathBuf> {
    let url = document.coerceToDescriptorType(FILE_URL)?.fileURLValue()?;
    url.path().map(|path| PathBuf::from(path.to_string()))
}

/// Calls `on_file`, on the main thread, with every file that a person opens with the app. Call it on the main thread
/// before the window's event loop starts, so that the file that started the app is heard too. Files on the command line
/// are left to whoever reads that.
pub fn receive_files(on_file: impl Fn(PathBuf) + 'static) {
    super::defaults::set();
    let receiver = OpenFiles::new(Box::new(on_file));
    // SAFETY: the method exists on the class and takes a notification; the name is that of AppKit's constant.
    unsafe {
        NSNotificationCenter::defaultCenter().addObserver_selector_name_object(
            &receiver,
            sel!(applicationWillFinishLaunching:),
            Some(ns_string!("NSApplicationWillFinishLaunchingNotification")),
            None,
        );
    }
    // Neither the notification center nor the event manager keeps it alive; it is needed until the process ends.
    std::mem::forget(receiver);
}
