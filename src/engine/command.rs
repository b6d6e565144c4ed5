//! What the engine's thread is told, and how: sessions and questions wait in a bounded queue, wishes overwrite each other.

use super::settings::EngineSettings;
use crate::protocol::{EngineEvent, Execution, SessionRequest};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Commands that may wait besides the sessions.
pub(super) const SPARE: usize = 16;

/// What the engine's thread is asked to do, between two turns.
#[derive(Debug)]
pub(super) enum Command {
    Submit(Submission),
    /// Look at the wishes: some may have changed.
    Heed,
    ResetPeakMemory(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// A session on its way to the engine.
#[derive(Debug)]
pub(super) struct Submission {
    pub request: SessionRequest,
    pub execution: Execution,
    pub events: mpsc::Sender<EngineEvent>,
    /// Its share of the engine's limit of sessions, given back as the session is dropped.
    pub admission: OwnedSemaphorePermit,
}

/// What the engine's owner wants from now on. Only the newest counts, so that none ever waits or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub settings: EngineSettings,
    /// How often kept prompts were to be forgotten.
    pub forgotten: u64,
}
