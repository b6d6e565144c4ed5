//! The replay of a finished run's sessions, one after the other, in the background.

use super::feature::Feature;
use super::recent::keep_again;
use super::shell::Shell;
use super::work::{Wake, Work};
use crate::protocol::{Replay, RunReport, SessionId};
use crate::session::LoadedModel;
use crate::session::verify::{replay, replayable};
use crate::state::{Tone, Verification};
use tokio::sync::mpsc;

/// A replay that is on. Dropping it stops it.
struct LiveVerify {
    found: mpsc::UnboundedReceiver<(SessionId, Replay)>,
    ended: Work<()>,
}

impl LiveVerify {
    /// Begins to replay the sessions of `report`; must be called within a tokio runtime.
    fn start(model: &LoadedModel, report: RunReport, wake: Wake) -> Self {
        let (sender, found) = mpsc::unbounded_channel();
        let (model, end_wake) = (model.clone(), wake.clone());
        let ended = Work::start(end_wake, async move {
            for session in replayable(&report) {
                let replay = replay(&model, &report.config, session).await;
                // Nobody is left to tell where the window gave the replay up.
                let _ = sender.send((session.id, replay));
                wake();
            }
            Ok(())
        });
        Self { found, ended }
    }
}

/// The replay of a finished run's sessions.
#[derive(Default)]
pub struct Verify {
    live: Option<LiveVerify>,
}

impl Verify {
    /// Replays the sessions of the run on show, or says why not.
    pub fn start(&mut self, shell: &mut Shell) {
        if let Some(obstacle) = shell.state.verify_obstacle() {
            return shell.state.notify(Tone::Problem, obstacle);
        }
        let (Some(model), Some(run)) = (shell.models.current(), &mut shell.state.run) else { return };
        let Some(report) = run.report.clone() else { return };
        let sessions: Vec<SessionId> = replayable(&report).map(|session| session.id).collect();
        sessions.iter().for_each(|id| run.note_replay(*id, None));
        self.live = Some(LiveVerify::start(model, report, shell.wake.clone()));
        shell.state.verification = Some(Verification::Running { sessions, done: 0 });
    }
}

impl Feature for Verify {
    /// Takes in what replays found.
    fn take_in(&mut self, shell: &mut Shell) {
        if !shell.state.is_verifying() {
            // Another run came on show.
            self.live = None;
        }
        let Some(live) = &mut self.live else { return };
        while let Ok((id, replay)) = live.found.try_recv() {
            if let Some(run) = &mut shell.state.run {
                run.note_replay(id, Some(replay));
            }
            if let Some(Verification::Running { done, .. }) = &mut shell.state.verification {
                *done += 1;
            }
        }
        if !live.found.is_empty() {
            return;
        }
        if let Some(outcome) = live.ended.take() {
            self.live = None;
            shell.state.verification = outcome.err().map(Verification::Failed);
            keep_again(shell);
        }
    }

    /// Stops replaying; what it has found stays.
    fn stop(&mut self, shell: &mut Shell) {
        if self.live.take().is_some() {
            shell.state.verification = None;
            keep_again(shell);
        }
    }
}
