//! The engine from outside its thread: submit sessions, read their events, say how the device is shared.

use super::command::{Command, Submission, Wishes};
use super::settings::EngineSettings;
use crate::protocol::{EngineEvent, Execution, MemoryFigures, SessionRequest};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// The engine's thread has ended; the model must be loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model is no longer loaded; load it again")]
pub struct EngineGone;

/// Why the engine did not take a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It holds as many as it may: [`EngineSettings::max_sessions`].
    #[error(
        "the model has {limit} sessions running or waiting and takes no more; start this one again once some have ended"
    )]
    Full {
        /// How many that is.
        limit: usize,
    },
    /// It holds none any more.
    #[error(transparent)]
    Gone(#[from] EngineGone),
}

/// Talks to the engine. Once the last clone is dropped the engine ends its sessions' work and frees the model.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) wishes: watch::Sender<Wishes>,
    pub(super) memory: watch::Receiver<MemoryFigures>,
    /// One permit for each session more that the engine takes.
    pub(super) admissions: Arc<Semaphore>,
    pub(super) max_sessions: usize,
}

impl EngineHandle {
    /// Queues a session. Dropping the stream cancels it.
    pub fn submit(&self, request: SessionRequest, execution: Execution) -> Result<EventStream, SubmitError> {
        let full = SubmitError::Full { limit: self.max_sessions };
        let admission = Arc::clone(&self.admissions).try_acquire_owned().map_err(|_| full)?;
        // Room for every event that the session can have: a stalled reader neither holds the engine up nor loses any.
        let prefill_events = request.prompt.len();
        let (events, stream) = mpsc::channel(prefill_events + request.max_tokens as usize + 4);
        let submission = Submission { request, execution, events, admission };
        match self.commands.try_send(Command::Submit(submission)) {
            Ok(()) => Ok(EventStream(stream)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EngineGone.into()),
        }
    }

    /// The newest of MLX's own memory figures; they are taken after every turn. Never waits.
    pub fn memory(&self) -> MemoryFigures {
        *self.memory.borrow()
    }

    /// Starts the peak figure anew, and nothing else; done when it returns.
    pub async fn reset_peak_memory(&self) -> Result<(), EngineGone> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Command::ResetPeakMemory(done)).await.map_err(|_| EngineGone)?;
        answer.await.map_err(|_| EngineGone)
    }

    /// Forgets the beginnings that are kept of prompts read so far: sessions that are submitted from now on read theirs
    /// anew, and share what they have in common. For runs that measure or prove something. Never waits.
    pub fn forget_prompts(&self) -> Result<(), EngineGone> {
        self.wish(|wishes| wishes.forgotten += 1)
    }

    /// Changes how the device is shared and how much memory is kept for reuse, from the next turn on. How many sessions the
    /// engine holds at most stays as it started. Never waits.
    pub fn configure(&self, settings: EngineSettings) -> Result<(), EngineGone> {
        self.wish(|wishes| wishes.settings = settings)
    }

    /// Ends every session as cancelled and unloads the model; its memory is free when this returns.
    pub async fn shutdown(&self) {
        let (done, answer) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).await.is_ok() {
            // An error means that the engine has ended before it read the command: the same outcome.
            let _ = answer.await;
        }
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) -> Result<(), EngineGone> {
        self.wishes.send_modify(change);
        match self.commands.try_send(Command::Heed) {
            // Where the queue is full, the engine is awake and looks at the wishes before it acts on what waits there.
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EngineGone),
        }
    }
}

/// One session's events, the last of which is [`EngineEvent::Ended`]. Dropping it cancels the session.
#[derive(Debug)]
pub struct EventStream(mpsc::Receiver<EngineEvent>);

impl EventStream {
    /// The next event; none after the last one, after [`EventStream::close`], or if the engine's thread has died.
    pub async fn next(&mut self) -> Option<EngineEvent> {
        self.0.recv().await
    }

    /// [`EventStream::next`] for whoever polls.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<EngineEvent>> {
        self.0.poll_recv(context)
    }

    /// The next event where one is here already.
    pub fn try_next(&mut self) -> Option<EngineEvent> {
        self.0.try_recv().ok()
    }

    /// The next event, for callers without tokio. Not for use within async code.
    pub fn blocking_next(&mut self) -> Option<EngineEvent> {
        self.0.blocking_recv()
    }

    /// Cancels the session between two steps. Events that came before can still be read.
    pub fn close(&mut self) {
        self.0.close();
    }
}
