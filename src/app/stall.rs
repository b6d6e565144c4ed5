//! What a person set about the engine on its way from the controls to the loaded model.

use super::window::WindowApp;
use crate::engine::EngineSettings;
use std::time::Duration;

impl WindowApp {
    /// Tells the engine the stall budget and the cache limit wherever they have changed or the model is another one.
    pub(super) fn tell_engine(&mut self) {
        let settings = &self.state.settings;
        let wanted = EngineSettings {
            max_stall: Duration::from_millis(settings.max_stall_ms),
            cache_limit: settings.parallel.cache_limit(),
            ..EngineSettings::default()
        };
        let Some(model) = self.model.as_ref().filter(|_| self.told_engine != Some(wanted)) else { return };
        // An engine that is gone shows in the next session's own error.
        let _ = model.engine().configure(wanted);
        self.told_engine = Some(wanted);
    }
}
