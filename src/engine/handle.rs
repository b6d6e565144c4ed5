//! The engine from outside its thread: start it, submit sessions, read their events.

use super::guard::panic_words;
use super::worker::Worker;
use super::{Backend, EngineSettings};
use crate::protocol::{EngineEvent, Execution, MemoryFigures, SessionRequest};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as commands};
use std::thread;
use tokio::sync::{mpsc, oneshot, watch};

/// What the engine's thread is asked to do, between two steps.
pub(super) enum Command {
    Submit { request: SessionRequest, execution: Execution, events: mpsc::Sender<EngineEvent> },
    Configure(EngineSettings),
    SetCacheLimit(u64),
    ResetPeakMemory(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// Why no engine started.
#[derive(Debug, thiserror::Error)]
pub enum StartError<E> {
    /// The loader said why.
    #[error(transparent)]
    Load(E),
    /// The loader panicked.
    #[error("loading the model failed unexpectedly: {0}")]
    Panicked(String),
    /// The system gave no thread.
    #[error("the engine's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The engine's thread has ended; the model must be loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model is no longer loaded; load it again")]
pub struct EngineGone;

/// Tells a loader that nobody waits for its model any more.
#[derive(Clone, Debug, Default)]
pub struct LoadCancel(Arc<AtomicBool>);

impl LoadCancel {
    /// Whether the load should end as soon as it can; what it returns then is dropped.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The engine's thread while it loads. Dropped before the load is done, it cancels the load and waits for the thread:
/// a process must not end while MLX works.
struct LoadingThread {
    cancel: LoadCancel,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for LoadingThread {
    fn drop(&mut self) {
        self.cancel.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the load was caught on its own thread.
            let _ = thread.join();
        }
    }
}

/// Starts an engine thread, runs `loader` on it, and waits until the model is loaded or has failed to load. Dropping
/// the future cancels the load, and waits until the loader has noticed.
pub async fn start<B, F, E>(
    settings: EngineSettings,
    loader: impl FnOnce(&LoadCancel) -> Result<(B, F), E> + Send + 'static,
) -> Result<(EngineHandle, F), StartError<E>>
where
    B: Backend + 'static,
    F: Send + 'static,
    E: Send + 'static,
{
    // Made first, so that it is dropped last: by then the engine, if it runs already, has lost its only handle.
    let mut loading = LoadingThread { cancel: LoadCancel::default(), thread: None };
    let (command_sender, command_receiver) = commands::channel();
    let (memory_sender, memory) = watch::channel(MemoryFigures::default());
    let (loaded_sender, loaded) = oneshot::channel();
    let cancel = loading.cancel.clone();
    let thread = thread::Builder::new().name("engine".into()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| loader(&cancel)))
            .map_err(|panic| StartError::Panicked(panic_words(panic.as_ref())))
            .and_then(|loaded| loaded.map_err(StartError::Load));
        match outcome {
            Ok((backend, facts)) => {
                if loaded_sender.send(Ok(facts)).is_ok() {
                    Worker::new(backend, settings, command_receiver, memory_sender).run();
                }
            }
            // Where nobody waits any more nobody needs to know.
            Err(error) => drop(loaded_sender.send(Err(error))),
        }
    })?;
    loading.thread = Some(thread);
    let facts = loaded.await.unwrap_or_else(|_| Err(StartError::Panicked("its thread ended".into())))?;
    loading.thread = None;
    Ok((EngineHandle { commands: command_sender, memory }, facts))
}

/// Talks to the engine. Once the last clone is dropped the engine ends its sessions' work and frees the model.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    commands: commands::Sender<Command>,
    memory: watch::Receiver<MemoryFigures>,
}

impl EngineHandle {
    /// Queues a session. Dropping the stream cancels it.
    pub fn submit(&self, request: SessionRequest, execution: Execution) -> Result<EventStream, EngineGone> {
        // Room for every event that the session can have: a stalled reader neither holds the engine up nor loses any.
        let prefill_events = request.prompt.len();
        let (events, stream) = mpsc::channel(prefill_events + request.max_tokens as usize + 4);
        self.send(Command::Submit { request, execution, events })?;
        Ok(EventStream(stream))
    }

    /// The newest of MLX's own memory figures; they are taken after every step. Never waits.
    pub fn memory(&self) -> MemoryFigures {
        *self.memory.borrow()
    }

    /// Starts the peak figure anew; done when it returns.
    pub async fn reset_peak_memory(&self) -> Result<(), EngineGone> {
        let (done, answer) = oneshot::channel();
        self.send(Command::ResetPeakMemory(done))?;
        answer.await.map_err(|_| EngineGone)
    }

    /// Changes how the device is shared, from the next step on.
    pub fn configure(&self, settings: EngineSettings) -> Result<(), EngineGone> {
        self.send(Command::Configure(settings))
    }

    /// Sets how many bytes of freed memory are kept for reuse, from the next step on.
    pub fn set_cache_limit(&self, bytes: u64) -> Result<(), EngineGone> {
        self.send(Command::SetCacheLimit(bytes))
    }

    /// Ends every session as cancelled and unloads the model; its memory is free when this returns.
    pub async fn shutdown(&self) {
        let (done, answer) = oneshot::channel();
        if self.send(Command::Shutdown(done)).is_ok() {
            // An error means that the engine has ended before it read the command: the same outcome.
            let _ = answer.await;
        }
    }

    fn send(&self, command: Command) -> Result<(), EngineGone> {
        self.commands.send(command).map_err(|_| EngineGone)
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
