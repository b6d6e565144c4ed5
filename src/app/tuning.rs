//! What a person set about the engine, on its way from the controls to the loaded models.

use super::feature::Feature;
use super::shell::Shell;
use crate::engine::EngineSettings;
use std::time::Duration;

/// Stall budget and cache limit on their way to the engines.
#[derive(Default)]
pub struct EngineTuning {
    /// How many models had been loaded, and what their engines were told.
    told: Option<(u64, EngineSettings)>,
}

impl Feature for EngineTuning {
    /// Tells the engines what has changed, and a model that has come all of it.
    fn take_in(&mut self, shell: &mut Shell) {
        let settings = &shell.state.settings;
        let wanted = EngineSettings {
            max_stall: Duration::from_millis(settings.max_stall_ms),
            cache_limit: settings.parallel.cache_limit(),
            ..EngineSettings::default()
        };
        let telling = Some((shell.models.loads(), wanted));
        if self.told == telling {
            return;
        }
        for model in shell.models.all() {
            // An engine that is gone shows in the next session's own error.
            let _ = model.engine().configure(wanted);
        }
        self.told = telling;
    }
}
