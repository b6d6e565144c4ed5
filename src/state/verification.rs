//! How far the replay of a finished run's sessions has come, and what it found.

use super::RunState;
use crate::protocol::{Replay, SessionId};

/// The replay of a finished run's sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Verification {
    /// Sessions are being replayed, one after the other.
    Running {
        /// The sessions, in the order in which they are replayed.
        sessions: Vec<SessionId>,
        /// How many of them are done.
        done: usize,
    },
    /// It broke; what it had found stays.
    Failed(String),
}

impl Verification {
    /// Whether sessions are being replayed.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// The session that is being replayed now.
    pub fn current(&self) -> Option<SessionId> {
        match self {
            Self::Running { sessions, done } => sessions.get(*done).copied(),
            Self::Failed(_) => None,
        }
    }
}

/// What the replays of a run found, summed over its panels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayTotals {
    /// Sessions whose tokens are the same alone.
    pub exact: usize,
    /// Sessions of which only the text can be compared, and whose text is the same alone.
    pub same_text: usize,
    /// Sessions whose tokens or texts differ.
    pub differing: usize,
    /// Sessions that could not be replayed.
    pub failed: usize,
}

impl ReplayTotals {
    /// Sessions that were replayed.
    pub fn replayed(&self) -> usize {
        self.exact + self.same_text + self.differing + self.failed
    }
}

impl RunState {
    /// Notes what a session's replay found, or that nothing is known any more.
    pub fn note_replay(&mut self, id: SessionId, replay: Option<Replay>) {
        if let Some(panel) = self.panels.get_mut(id.0 as usize) {
            panel.replay = replay.clone();
        }
        let sessions = self.report.iter_mut().flat_map(|report| &mut report.sessions);
        for session in sessions.filter(|session| session.id == id) {
            session.replay = replay.clone();
        }
    }

    /// What the replays found so far.
    pub fn replay_totals(&self) -> ReplayTotals {
        let mut totals = ReplayTotals::default();
        for replay in self.panels.iter().filter_map(|panel| panel.replay.as_ref()) {
            match replay {
                Replay::Exact => totals.exact += 1,
                Replay::SameText => totals.same_text += 1,
                Replay::Differs { .. } | Replay::TextDiffers { .. } => totals.differing += 1,
                Replay::Failed { .. } => totals.failed += 1,
            }
        }
        totals
    }
}
