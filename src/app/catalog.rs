//! The models that the picker offers, with what of them is on this machine.

use super::work::{Wake, Work};
use crate::hub::{Hub, Machine};
use crate::protocol::{DeviceKind, ListedModel};

/// Looks at the disk for the models that the picker offers.
pub fn list(device: DeviceKind, wake: Wake) -> Work<Vec<ListedModel>> {
    Work::blocking(wake, move || {
        let hub = Hub::from_environment().map_err(|error| error.to_string())?;
        Ok(hub.models(Machine::detect(device)))
    })
}
