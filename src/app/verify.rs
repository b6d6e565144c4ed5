//! The replay of a finished run's sessions, one after the other, in the background.

use super::window::WindowApp;
use super::work::{Wake, Work};
use crate::protocol::{Replay, RunReport, SessionId};
use crate::session::LoadedModel;
use crate::session::verify::{replay, replayable};
use crate::state::{Tone, Verification};
use tokio::sync::mpsc;

/// A replay that is on. Dropping it stops it.
pub struct LiveVerify {
    found: mpsc::UnboundedReceiver<(SessionId, Replay)>,
    ended: Work<()>,
}

impl LiveVerify {
    /// Begins to replay the sessions of `report`; must be called within a tokio runtime.
    pub fn start(model: &LoadedModel, report: RunReport, wake: Wake) -> Self {
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

impl WindowApp {
    /// Replays the sessions of the run on show, or says why not.
    pub(super) fn start_verifying(&mut self) {
        if let Some(obstacle) = self.state.verify_obstacle() {
            return self.state.notify(Tone::Problem, obstacle);
        }
        let report = self.state.run.as_ref().and_then(|run| run.report.clone());
        let (Some(model), Some(report)) = (&self.model, report) else { return };
        let sessions: Vec<SessionId> = replayable(&report).map(|session| session.id).collect();
        if let Some(run) = &mut self.state.run {
            sessions.iter().for_each(|id| run.note_replay(*id, None));
        }
        self.verify = Some(LiveVerify::start(model, report, self.wake.clone()));
        self.state.verification = Some(Verification::Running { sessions, done: 0 });
    }

    /// Stops replaying; what it has found stays.
    pub(super) fn stop_verifying(&mut self) {
        if self.verify.take().is_some() {
            self.state.verification = None;
            self.keep_again();
        }
    }

    /// Takes in what replays found.
    pub(super) fn take_verification(&mut self) {
        let Some(live) = &mut self.verify else { return };
        while let Ok((id, replay)) = live.found.try_recv() {
            if let Some(run) = &mut self.state.run {
                run.note_replay(id, Some(replay));
            }
            if let Some(Verification::Running { done, .. }) = &mut self.state.verification {
                *done += 1;
            }
        }
        if !live.found.is_empty() {
            return;
        }
        if let Some(outcome) = live.ended.take() {
            self.verify = None;
            self.state.verification = outcome.err().map(Verification::Failed);
            self.keep_again();
        }
    }
}
