//! Work that the window waits for without waiting: a promise that is looked at in every frame.

use poll_promise::Promise;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Called once work is done, so that the window looks.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Work that is under way. Dropping it stops it.
pub struct Work<T: Send + 'static> {
    promise: Option<Promise<Result<T, String>>>,
    task: AbortHandle,
}

impl<T: Send + 'static> Work<T> {
    /// Starts `future`; must be called within a tokio runtime. An error is in words for a person.
    pub fn start(wake: Wake, future: impl Future<Output = Result<T, String>> + Send + 'static) -> Self {
        let (sender, promise) = Promise::new();
        let task = tokio::spawn(future);
        let abort = task.abort_handle();
        tokio::spawn(async move {
            // A panic must not take the window with it.
            let outcome = task.await.unwrap_or_else(|error| Err(format!("it failed unexpectedly: {error}")));
            sender.send(outcome);
            wake();
        });
        Self { promise: Some(promise), task: abort }
    }

    /// Starts work that waits for files, on a thread of its own.
    pub fn blocking(wake: Wake, work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Self {
        let task = tokio::task::spawn_blocking(work);
        Self::start(
            wake,
            async move { task.await.unwrap_or_else(|error| Err(format!("it failed unexpectedly: {error}"))) },
        )
    }

    /// Stops it; the future ends once it has let go of everything.
    pub fn stop(self) -> impl Future<Output = ()> + Send {
        let task = self.task.clone();
        drop(self);
        async move {
            while !task.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// The outcome, once, as soon as it is there.
    pub fn take(&mut self) -> Option<Result<T, String>> {
        match self.promise.take()?.try_take() {
            Ok(outcome) => Some(outcome),
            Err(pending) => {
                self.promise = Some(pending);
                None
            }
        }
    }
}

impl<T: Send + 'static> Drop for Work<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
