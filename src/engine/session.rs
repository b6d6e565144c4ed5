//! One session inside the engine: everything it has sits in one struct.

use super::guard::Failure;
use super::{Backend, Stage, StepOutput};
use crate::protocol::{EngineEvent, Execution, FinishReason, SessionError, SessionRequest};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Where a prompt is this long, its cache takes about as long to be moved in among the others as a chunk to be read.
const LONG_PROMPT: usize = 512;

/// A session from its submission until it leaves.
pub(super) struct Session<R> {
    /// Names the session among all that the engine ever had; launched steps refer to it.
    pub ticket: u64,
    /// How its steps share the device.
    pub execution: Execution,
    request: SessionRequest,
    events: mpsc::Sender<EngineEvent>,
    place: Place<R>,
    /// Decode steps launched.
    launched: u32,
    /// Tokens handed out.
    given: u32,
    /// The most tokens it may give, and why it ends there.
    allowance: u32,
    limit_reason: FinishReason,
    /// Whether it has read a long prompt and taken no step yet.
    is_just_read: bool,
}

/// Where a session is, with what it holds there.
enum Place<R> {
    Waiting,
    Prefill(R),
    Decode(R),
    Ended(FinishReason, Option<SessionError>),
}

impl<R> Session<R> {
    /// Queues a request. One that can't give a single token has ended at once.
    pub fn new(
        ticket: u64,
        request: SessionRequest,
        execution: Execution,
        events: mpsc::Sender<EngineEvent>,
        context_length: u32,
    ) -> Self {
        let prompt = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
        let room = context_length.saturating_sub(prompt);
        let place = if prompt == 0 {
            Place::Ended(FinishReason::Error, Some(SessionError("the prompt is empty; give at least one word".into())))
        } else if room == 0 {
            Place::Ended(
                FinishReason::Error,
                Some(SessionError(format!(
                    "the prompt has {prompt} tokens, which leaves no room for an answer in the model's context of \
                     {context_length} tokens; shorten it"
                ))),
            )
        } else {
            Place::Waiting
        };
        let (allowance, limit_reason) = if request.max_tokens <= room {
            (request.max_tokens, FinishReason::TokenLimit)
        } else {
            (room, FinishReason::ContextLimit)
        };
        let is_just_read = false;
        Self { ticket, execution, request, events, place, launched: 0, given: 0, allowance, limit_reason, is_just_read }
    }

    pub fn stage(&self) -> Stage {
        match self.place {
            Place::Waiting => Stage::Waiting,
            Place::Prefill(_) => Stage::Prefill,
            Place::Decode(_) => Stage::Decode,
            Place::Ended(..) => Stage::Ended,
        }
    }

    /// Whether nobody reads the session's events any more, which cancels it.
    pub fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }

    /// The row, where the session can take part in another decode step.
    pub fn decode_row(&mut self) -> Option<&mut R> {
        match &mut self.place {
            Place::Decode(row) if self.launched < self.allowance => Some(row),
            _ => None,
        }
    }

    /// Whether it has taken part in a step.
    pub fn has_stepped(&self) -> bool {
        self.stage() == Stage::Decode && self.launched > 0
    }

    /// Whether the session lets one step of the others pass before its own first one. Says so once.
    pub fn lets_one_pass(&mut self) -> bool {
        std::mem::take(&mut self.is_just_read)
    }

    /// Notes that a decode step has been launched for the row.
    pub fn step_launched(&mut self) {
        self.launched += 1;
    }

    /// Keeps the session out of further steps.
    pub fn launch_no_more(&mut self) {
        self.launched = self.allowance;
    }

    /// Leaves the queue with a row of its own.
    pub fn open<B: Backend<Row = R>>(&mut self, backend: &mut B) -> Result<(), super::BackendError> {
        let row = backend.open(&self.request, self.execution)?;
        self.place = Place::Prefill(row);
        tracing::debug!(session = %self.request.id, "prefill started");
        self.send(EngineEvent::PrefillStarted { at: Instant::now() });
        Ok(())
    }

    /// Reads up to `limit` prompt tokens; says how many were read. The session decodes from here on once all are.
    pub fn prefill<B: Backend<Row = R>>(
        &mut self,
        backend: &mut B,
        limit: usize,
    ) -> Result<usize, super::BackendError> {
        let unread = self.unread(backend);
        let Place::Prefill(row) = &mut self.place else { return Ok(0) };
        let read = if unread == 0 { 0 } else { backend.prefill(row, limit)? };
        self.has_read(backend, read);
        Ok(read)
    }

    /// The prompt's tokens.
    pub fn prompt(&self) -> &Arc<[u32]> {
        &self.request.prompt
    }

    /// How many prompt tokens are read next where `limit` are allowed; none once all are read.
    pub fn next_chunk<B: Backend<Row = R>>(&self, backend: &B, limit: usize) -> usize {
        match &self.place {
            Place::Prefill(row) => backend.next_chunk(row, limit),
            Place::Waiting | Place::Decode(_) | Place::Ended(..) => 0,
        }
    }

    /// How many prompt tokens are left to read.
    pub fn unread<B: Backend<Row = R>>(&self, backend: &B) -> usize {
        match &self.place {
            // The last prompt token is fed by the first decode step.
            Place::Prefill(row) => (self.request.prompt.len() - 1).saturating_sub(backend.prefilled(row)),
            Place::Waiting | Place::Decode(_) | Place::Ended(..) => 0,
        }
    }

    /// The row whose prompt is being read.
    pub fn reading_row(&mut self) -> Option<&mut R> {
        match &mut self.place {
            Place::Prefill(row) => Some(row),
            Place::Waiting | Place::Decode(_) | Place::Ended(..) => None,
        }
    }

    /// Takes in that `read` more prompt tokens are read. The session decodes from here on once all are.
    pub fn has_read<B: Backend<Row = R>>(&mut self, backend: &B, read: usize) {
        let Place::Prefill(row) = &self.place else { return };
        let total = self.request.prompt.len() as u32;
        let is_ready = read == 0 || self.unread(backend) == 0;
        let done = if is_ready { total } else { backend.prefilled(row) as u32 };
        if is_ready && let Place::Prefill(row) = std::mem::replace(&mut self.place, Place::Waiting) {
            self.place = Place::Decode(row);
            self.is_just_read = self.request.prompt.len() >= LONG_PROMPT;
            tracing::debug!(session = %self.request.id, "decode started");
        }
        self.send(EngineEvent::Prefilled { done, total });
    }

    /// Hands out what one step gave. A step launched before the session ended gives nothing.
    pub fn take(&mut self, output: StepOutput, at: Instant) {
        if self.stage() != Stage::Decode {
            return;
        }
        if self.request.end_of_sequence.contains(&output.token) {
            return self.end(FinishReason::EndOfSequence, None);
        }
        self.given += 1;
        self.send(EngineEvent::Token { id: output.token, at, logits_hash: output.logits_hash });
        tracing::trace!(session = %self.request.id, "token {}", self.given);
        if self.given == self.allowance {
            self.end(self.limit_reason, None);
        }
    }

    /// Ends with a failure, unless the session has ended already.
    pub fn fail(&mut self, failure: &Failure) {
        if self.stage() != Stage::Ended {
            tracing::warn!(session = %self.request.id, ?failure, "session failed");
            self.end(FinishReason::Error, Some(failure.session_error()));
        }
    }

    /// Ends the session; its row is freed.
    pub fn end(&mut self, reason: FinishReason, error: Option<SessionError>) {
        self.place = Place::Ended(reason, error);
    }

    /// Whether the session stays. One that has ended says so, as the last thing it does.
    pub fn stays(&mut self) -> bool {
        if let Place::Ended(reason, error) = &mut self.place {
            let event = EngineEvent::Ended { reason: *reason, error: error.take(), at: Instant::now() };
            self.send(event);
            return false;
        }
        !self.is_cancelled()
    }

    fn send(&self, event: EngineEvent) {
        // The channel has room for all events; it refuses one only where the reader is gone, which `stays` sees.
        let _ = self.events.try_send(event);
    }
}
