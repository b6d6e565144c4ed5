//! The seam above engines: what a session asks of the place where it runs, and what comes back. The model that is loaded
//! here is one such source, an engine elsewhere another.

use super::job::Job;
use crate::protocol::{
    Capabilities, Execution, FinishReason, InvalidConfig, MemoryFigures, ModelSummary, Origin, Segment, SessionError,
};
use crate::text::TextModel;
use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A place where sessions run. One run may hold sessions on several.
pub trait Source: fmt::Debug + Send + Sync {
    /// Which model on which engine.
    fn origin(&self) -> &Origin;

    /// What it can tell and do.
    fn capabilities(&self) -> &Capabilities;

    /// The model's figures; none where the engine doesn't tell them.
    fn model(&self) -> Option<&ModelSummary> {
        None
    }

    /// The model's tokenizer, where it is here.
    fn tokenizer(&self) -> Option<&TextModel> {
        None
    }

    /// The engine's memory figures; none where it doesn't tell them. Never waits.
    fn memory(&self) -> Option<MemoryFigures> {
        None
    }

    /// Starts the peak of the memory figures anew. A source that doesn't tell them does nothing.
    fn reset_peak_memory(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(future::ready(()))
    }

    /// Forgets what is kept of prompts read so far: sessions that are started from now on read theirs anew. For what
    /// measures or proves something; a source that keeps none, or can't forget, does nothing.
    fn forget_prompts(&self) {}

    /// Begins at once to prepare a session, beside others that are being prepared, and hands it over when the future is
    /// awaited: sessions wait in the engine in the order in which their futures are awaited. The future ends once the
    /// session is on its way; it doesn't wait for an answer. Must be called within a tokio runtime.
    fn start(&self, job: Job) -> Starting;
}

/// A session that is being prepared. The error says why it can't run, in words for a person.
pub type Starting = Pin<Box<dyn Future<Output = Result<Started, SessionError>> + Send>>;

/// A session that was handed to its engine.
pub struct Started {
    /// When.
    pub at: Instant,
    /// Prompt tokens after the chat template; none where they aren't known, or not yet.
    pub prompt_tokens: Option<u32>,
    /// What it gives.
    pub answer: Box<dyn Answer>,
}

/// An answer as it comes: events, of which the last is [`AnswerEvent::Ended`]. Dropping it cancels the session.
pub trait Answer: Send {
    /// The next event. Nothing is polled after the last one.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<AnswerEvent>;

    /// Cancels the session. Events that came before can still be read, and its end comes after them.
    fn cancel(&mut self);
}

impl dyn Answer + '_ {
    /// Waits for the next event.
    pub async fn next(&mut self) -> AnswerEvent {
        future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event where one is here already.
    pub fn try_next(&mut self) -> Option<AnswerEvent> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }
}

/// What happened to a session, as its source tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerEvent {
    /// The session left the queue; its prompt is being read.
    PrefillStarted {
        /// When.
        at: Instant,
    },
    /// Part of the prompt has been read.
    Prefilled {
        /// Prompt tokens read so far.
        done: u32,
        /// Prompt tokens in all.
        total: u32,
    },
    /// More of the answer came.
    Piece(Piece),
    /// The engine's own counts, which replace those of the pieces; none where it doesn't tell one.
    Counted {
        /// Prompt tokens after the chat template.
        prompt_tokens: Option<u32>,
        /// Tokens of the answer so far.
        tokens: Option<u32>,
    },
    /// The last event.
    Ended {
        /// Why.
        reason: FinishReason,
        /// What went wrong, where the reason is [`FinishReason::Error`].
        error: Option<SessionError>,
        /// When.
        at: Instant,
    },
}

/// A piece of an answer: a token where the engine tells ids, else as much as came at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Text to append: whole characters only, no stop string.
    pub text: String,
    /// The same split into words, thoughts and calls, where the job asked for that.
    pub segments: Vec<Segment>,
    /// How many tokens it stands for: 1 where nothing else is known, 0 where it only ends what was held back.
    pub tokens: u32,
    /// The token's id, where the engine tells ids.
    pub id: Option<u32>,
    /// A hash of the logits it was chosen from, where the job asked for it and the engine can.
    pub logits_hash: Option<u64>,
    /// When it came.
    pub at: Instant,
}

/// Refuses an execution that a source can't run in.
pub(super) fn check_execution(source: &dyn Source, execution: Execution) -> Result<(), InvalidConfig> {
    match &source.capabilities().exact {
        Err(reason) if execution == Execution::Exact => {
            Err(InvalidConfig(format!("this model can't run in exact execution: {reason}")))
        }
        _ => Ok(()),
    }
}
