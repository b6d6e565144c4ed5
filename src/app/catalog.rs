//! The models that the picker offers, with what of them is on this machine.

use super::feature::Feature;
use super::shell::Shell;
use crate::hub::{Hub, Machine};
use crate::protocol::DeviceKind;

const LIST: &str = "list the models";

/// The models that the picker offers.
#[derive(Default)]
pub struct Catalog;

impl Catalog {
    /// Looks at the disk for models, so that the picker knows what is here.
    pub fn list(&self, shell: &mut Shell) {
        let device = shell.models.current().map_or(DeviceKind::Cpu, |model| model.summary().facts.device);
        let list = move || {
            let hub = Hub::from_environment().map_err(|error| error.to_string())?;
            Ok(hub.models(Machine::detect(device)))
        };
        shell.jobs.blocking(LIST, list, |shell, listed| {
            if let Ok(models) = listed {
                shell.state.models = models;
            }
        });
    }
}

impl Feature for Catalog {
    fn begin(&mut self, shell: &mut Shell) {
        self.list(shell);
    }
}
