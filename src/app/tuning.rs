//! What a person set about the engine, on its way from the controls to the loaded model.

use super::feature::Feature;
use super::shell::Shell;
use crate::engine::EngineSettings;
use std::time::Duration;

/// Stall budget and cache limit on their way to the engine.
#[derive(Default)]
pub struct EngineTuning {
    /// Which model's engine was told, and what.
    told: Option<(u64, EngineSettings)>,
}

impl Feature for EngineTuning {
    /// Tells the engine what has changed, or all of it where the model is another one.
    fn take_in(&mut self, shell: &mut Shell) {
        let settings = &shell.state.settings;
        let wanted = EngineSettings {
            max_stall: Duration::from_millis(settings.max_stall_ms),
            cache_limit: settings.parallel.cache_limit(),
            ..EngineSettings::default()
        };
        let telling = Some((shell.models.number(), wanted));
        let Some(model) = shell.models.current().filter(|_| self.told != telling) else { return };
        // An engine that is gone shows in the next session's own error.
        let _ = model.engine().configure(wanted);
        self.told = telling;
    }
}
