//! A race: one run after the other, each an ordinary run with panels and a file.

use super::window::WindowApp;
use crate::protocol::{Execution, ParallelConfig};
use crate::state::{RaceState, Tone};

impl WindowApp {
    /// Starts the serialized leg.
    pub(super) fn start_race(&mut self) {
        if self.run.is_some() {
            return;
        }
        if let Some(obstacle) = self.state.run_obstacle() {
            return self.state.notify(Tone::Problem, obstacle);
        }
        let parallel = &self.state.settings.parallel;
        self.state.race = Some(RaceState::start(parallel.sessions, parallel.max_tokens));
        self.start_leg(Execution::Serialized);
    }

    /// Starts the next leg, once a leg's run has ended.
    pub(super) fn race_on(&mut self) {
        let report = self.state.run.as_ref().and_then(|run| run.report.as_ref());
        let next = match (&mut self.state.race, report) {
            (Some(race), Some(report)) => race.leg_ended(report),
            _ => None,
        };
        if let Some(execution) = next {
            self.start_leg(execution);
        }
    }

    fn start_leg(&mut self, execution: Execution) {
        // The second leg takes the first one's settings: the controls may have moved meanwhile.
        let first = self.state.run.as_ref().filter(|_| execution != Execution::Serialized);
        let (Some(model), config) = (self.model.clone(), first.map(|run| run.config.clone())) else { return };
        // Both legs read their prompts anew. A dead engine shows in every session's own error.
        let _ = model.engine().forget_prompts();
        let config = config.unwrap_or_else(|| self.state.settings.run_config(model.summary().source.clone()));
        self.begin_run(&model, ParallelConfig { execution, ..config });
        if self.run.is_none()
            && let Some(race) = &mut self.state.race
        {
            race.break_off(format!("The {execution} run did not start"));
        }
    }
}
