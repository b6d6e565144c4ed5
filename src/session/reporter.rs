//! Tells whoever shows the sessions what happens to them: first the update, then the wake-up.

use super::clock::Clock;
use crate::protocol::{SessionId, SessionUpdate, UpdateKind};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Called after each update, so that whoever draws can look at the channel. Must return at once.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Whoever hears what happens to one session.
pub(super) trait Listener: Send {
    /// Takes in what happened at `at`; may wait, which holds up no one but the session's own task.
    fn hear(&mut self, at: Instant, kind: UpdateKind) -> impl Future<Output = ()> + Send;
}

/// One run's way to its reader.
#[derive(Clone)]
pub(super) struct Reporter {
    pub clock: Clock,
    updates: mpsc::Sender<SessionUpdate>,
    wake: Wake,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reporter").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Reporter {
    pub fn new(updates: mpsc::Sender<SessionUpdate>, wake: Wake) -> Self {
        Self { clock: Clock::default(), updates, wake }
    }

    /// Sends an update; waits while the reader's channel is full, which holds up no one but the caller.
    pub async fn tell(&self, id: SessionId, at: Instant, kind: UpdateKind) {
        let update = SessionUpdate { id, at_s: self.clock.seconds(at), kind };
        // A run goes on where its reader is gone: the report still holds everything.
        let _ = self.updates.send(update).await;
        (self.wake)();
    }
}

/// One session's way to its run's reader.
pub(super) struct SessionReporter {
    pub id: SessionId,
    pub reporter: Reporter,
}

impl Listener for SessionReporter {
    async fn hear(&mut self, at: Instant, kind: UpdateKind) {
        self.reporter.tell(self.id, at, kind).await;
    }
}
