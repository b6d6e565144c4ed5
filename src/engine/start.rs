//! Starts the engine's thread and loads the model on it.

use super::backend::Backend;
use super::command::{SPARE, Wishes};
use super::guard::panic_words;
use super::handle::EngineHandle;
use super::settings::EngineSettings;
use super::worker::Worker;
use crate::protocol::MemoryFigures;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

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
    let max_sessions = settings.max_sessions.clamp(1, Semaphore::MAX_PERMITS - SPARE);
    let (commands, command_receiver) = mpsc::channel(max_sessions + SPARE);
    let (wishes, wish_receiver) = watch::channel(Wishes { settings, forgotten: 0 });
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
                    Worker::new(backend, command_receiver, wish_receiver, memory_sender).run();
                }
            }
            // Where nobody waits any more nobody needs to know.
            Err(error) => drop(loaded_sender.send(Err(error))),
        }
    })?;
    loading.thread = Some(thread);
    let facts = loaded.await.unwrap_or_else(|_| Err(StartError::Panicked("its thread ended".into())))?;
    loading.thread = None;
    let admissions = Arc::new(Semaphore::new(max_sessions));
    Ok((EngineHandle { commands, wishes, memory, admissions, max_sessions }, facts))
}
