//! The stall budget on its way from its slider to the engine.

use super::window::WindowApp;
use crate::engine::EngineSettings;
use std::time::Duration;

impl WindowApp {
    /// Tells the engine the stall budget wherever it has changed or the model is another one.
    pub(super) fn tell_stall_budget(&mut self) {
        let wanted = self.state.settings.max_stall_ms;
        let Some(model) = self.model.as_ref().filter(|_| self.told_stall_ms != Some(wanted)) else { return };
        let settings = EngineSettings { max_stall: Duration::from_millis(wanted), ..EngineSettings::default() };
        // An engine that is gone shows in the next session's own error.
        let _ = model.engine().configure(settings);
        self.told_stall_ms = Some(wanted);
    }
}
