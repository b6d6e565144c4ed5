//! One answer outside of a parallel run: a conversation, or text to continue, with settings of its own.

use super::follow::submit;
use super::prepare::{Input, Job, tokenize};
use super::reporter::{Reporter, Wake};
use super::{LoadedModel, StopHandle};
use crate::protocol::{EvaluationResult, Execution, Sampling, SessionError, SessionId, SessionUpdate};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What is to be answered, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The conversation, tools' results included, or raw text.
    pub input: Input,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The most tokens of the answer; at least 1.
    pub max_tokens: u32,
    /// Text that ends the answer and is never shown.
    pub stop: Vec<String>,
}

/// An answer that is being generated: the only session of its own run, with id 0. Dropping it stops it.
#[derive(Debug)]
pub struct ChatGeneration {
    stops: StopHandle,
    task: JoinHandle<EvaluationResult>,
}

impl ChatGeneration {
    /// The answer's id in its updates.
    pub const ID: SessionId = SessionId(0);

    /// Starts the answer and returns at once; must be called within a tokio runtime. `updates` must be read, or its
    /// receiver dropped, for the answer to end; `wake` is called after each update.
    pub fn start(model: &LoadedModel, request: ChatRequest, updates: mpsc::Sender<SessionUpdate>, wake: Wake) -> Self {
        let (stops, flag) = StopHandle::single();
        let job = Job {
            id: Self::ID,
            prompt: request.input.last_words(),
            input: request.input,
            sampling: request.sampling,
            max_tokens: request.max_tokens,
            stop: request.stop,
            execution: Execution::Batched,
        };
        let model = model.clone();
        let reporter = Reporter::new(updates, wake);
        let task = tokio::spawn(async move {
            let prompt = tokenize(model.text_shared(), job.input.clone()).await;
            let prompt = prompt.unwrap_or_else(|error| Err(SessionError(format!("tokenizing failed: {error}"))));
            submit(&model, job, prompt, &reporter, flag).await.follow(reporter).await
        });
        Self { stops, task }
    }

    /// Stops the answer, also from elsewhere and while [`ChatGeneration::finish`] is awaited.
    pub fn stop_handle(&self) -> StopHandle {
        self.stops.clone()
    }

    /// Waits for the end.
    pub async fn finish(mut self) -> EvaluationResult {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; nobody is there to read a result.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for ChatGeneration {
    fn drop(&mut self) {
        self.stops.stop_all();
    }
}
