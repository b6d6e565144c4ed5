//! A race: one run after the other, each an ordinary run with panels and a file.

use super::feature::Feature;
use super::shell::Shell;
use crate::protocol::{Execution, ParallelConfig};
use crate::state::{Action, RaceState, RunAction, Tone};

/// A race; where it stands is shown, so there is nothing else to keep.
#[derive(Default)]
pub struct Race;

impl Race {
    /// Starts the serialized leg.
    pub fn start(&self, shell: &mut Shell) {
        if shell.state.run_is_active() {
            return;
        }
        if let Some(obstacle) = shell.state.run_obstacle() {
            return shell.state.notify(Tone::Problem, obstacle);
        }
        let Some(model) = shell.models.current() else { return };
        let config = shell.state.settings.run_config(model.summary().source.clone());
        shell.state.race = Some(RaceState::start(config.sessions, config.max_tokens));
        start_leg(shell, config, Execution::Serialized);
    }
}

impl Feature for Race {
    /// Takes in how far the leg's run has come, and starts the next leg once it has ended.
    fn take_in(&mut self, shell: &mut Shell) {
        let (Some(race), Some(run)) = (&mut shell.state.race, &shell.state.run) else { return };
        if run.is_active() {
            return race.tick(run.elapsed_s, run.totals().tokens);
        }
        let Some(report) = &run.report else { return };
        if let Some(execution) = race.leg_ended(report) {
            // The second leg takes the first one's settings: the controls may have moved meanwhile.
            let config = run.config.clone();
            start_leg(shell, config, execution);
        }
    }
}

fn start_leg(shell: &mut Shell, config: ParallelConfig, execution: Execution) {
    if let Some(model) = shell.models.current() {
        // Both legs read their prompts anew. A dead engine shows in every session's own error.
        let _ = model.engine().forget_prompts();
    }
    shell.ask(Action::Run(RunAction::Begin(Box::new(ParallelConfig { execution, ..config }))));
}
