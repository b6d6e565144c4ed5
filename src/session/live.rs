//! Sessions that are on: stopped from anywhere, and waited for.

use super::stop::StopHandle;
use tokio::task::JoinHandle;

/// Sessions that are on, and what they will have given. Dropping it stops them.
#[derive(Debug)]
pub(super) struct Live<T> {
    stops: StopHandle,
    task: JoinHandle<T>,
}

impl<T> Live<T> {
    /// `task` ends soon after all flags of `stops` were raised.
    pub fn new(stops: StopHandle, task: JoinHandle<T>) -> Self {
        Self { stops, task }
    }

    pub fn stop_handle(&self) -> StopHandle {
        self.stops.clone()
    }

    /// Waits for the end. A panic of the task goes on here.
    pub async fn finish(mut self) -> T {
        match (&mut self.task).await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; nobody is there to read what came.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl<T> Drop for Live<T> {
    fn drop(&mut self) {
        self.stops.stop_all();
    }
}
