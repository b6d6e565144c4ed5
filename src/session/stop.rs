//! Stopping sessions: a flag for each, which anyone may raise at any time.

use crate::protocol::SessionId;
use std::sync::Arc;
use tokio::sync::watch;

/// Stops the sessions of one run. Clones stop the same ones.
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<[watch::Sender<bool>]>);

impl StopHandle {
    /// One flag for each of `sessions` sessions, and the session's own view of it.
    pub(super) fn new(sessions: u32) -> (Self, Vec<StopFlag>) {
        let flags: Arc<[_]> = (0..sessions).map(|_| watch::channel(false).0).collect();
        let views = flags.iter().map(|flag| StopFlag(flag.subscribe())).collect();
        (Self(flags), views)
    }

    /// The flag of a session that is the only one of its run.
    pub(super) fn single() -> (Self, StopFlag) {
        let flag = watch::channel(false).0;
        let view = StopFlag(flag.subscribe());
        (Self(Arc::new([flag])), view)
    }

    /// Stops one session between two of its steps; what it gave so far stays.
    pub fn stop(&self, id: SessionId) {
        if let Some(flag) = self.0.get(id.0 as usize) {
            flag.send_replace(true);
        }
    }

    /// Stops all sessions.
    pub fn stop_all(&self) {
        self.0.iter().for_each(|flag| {
            flag.send_replace(true);
        });
    }
}

/// One session's view of its flag.
#[derive(Clone, Debug)]
pub(super) struct StopFlag(watch::Receiver<bool>);

impl StopFlag {
    /// Returns once it is raised.
    pub async fn raised(&mut self) {
        // Where all handles are gone nobody waits for the session any more: the same as a stop.
        let _ = self.0.wait_for(|raised| *raised).await;
    }
}
