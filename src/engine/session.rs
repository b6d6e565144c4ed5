//! One session inside the engine: everything it has sits in one struct.

use super::backend::{Backend, BackendError, StepOutput};
use super::command::Submission;
use super::guard::Failure;
use super::scheduler::{SessionView, Stage};
use crate::protocol::{EngineEvent, Execution, FinishReason, SessionError, SessionRequest};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

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
    /// Whether it has let a step of the others pass before its own first one.
    has_waited: bool,
    /// Its share of the engine's limit of sessions.
    _admission: OwnedSemaphorePermit,
}

/// Where a session is, with what it holds there.
enum Place<R> {
    Waiting,
    Prefill(R),
    Decode(R),
    Ended(FinishReason, Option<SessionError>),
}

impl<R> Session<R> {
    /// Queues a submission. One that can't give a single token has ended at once.
    pub fn new(ticket: u64, submission: Submission, context_length: u32) -> Self {
        let Submission { request, execution, events, admission } = submission;
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
        } else if request.max_tokens == 0 {
            Place::Ended(FinishReason::TokenLimit, None)
        } else {
            Place::Waiting
        };
        let (allowance, limit_reason) = if request.max_tokens <= room {
            (request.max_tokens, FinishReason::TokenLimit)
        } else {
            (room, FinishReason::ContextLimit)
        };
        Self {
            ticket,
            execution,
            request,
            events,
            place,
            launched: 0,
            given: 0,
            allowance,
            limit_reason,
            has_waited: false,
            _admission: admission,
        }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        let stage = match self.place {
            Place::Waiting => Stage::Waiting,
            Place::Prefill(_) => Stage::Prefill,
            Place::Decode(_) => Stage::Decode {
                has_stepped: self.launched > 0,
                may_step: self.launched < self.allowance,
                has_waited: self.has_waited,
            },
            Place::Ended(..) => Stage::Ended,
        };
        match stage {
            Stage::Waiting if self.is_cancelled() => Stage::Ended,
            Stage::Prefill | Stage::Decode { .. } if self.is_cancelled() => Stage::Leaving,
            stage => stage,
        }
    }

    /// What the policy sees. What a waiting session would hold from the start is asked only where it `may_open`.
    pub fn view<B: Backend<Row = R>>(&self, backend: &B, stage: Stage, may_open: bool) -> SessionView<'_> {
        let prompt = self.unfed();
        let held = match &self.place {
            Place::Waiting if may_open => backend.known(prompt, self.execution),
            Place::Waiting | Place::Ended(..) => 0,
            Place::Prefill(row) => backend.prefilled(row),
            Place::Decode(_) => prompt.len(),
        };
        SessionView { stage, execution: self.execution, prompt, held, rules: backend.prompt_rules(self.execution) }
    }

    /// Whether nobody reads the session's events any more, which cancels it.
    fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }

    /// The prompt but for its last token, which is fed by the first decode step.
    fn unfed(&self) -> &[u32] {
        self.request.prompt.split_last().map_or(&[], |(_, unfed)| unfed)
    }

    /// The row, where the session decodes.
    pub fn decode_row(&mut self) -> Option<&mut R> {
        match &mut self.place {
            Place::Decode(row) => Some(row),
            Place::Waiting | Place::Prefill(_) | Place::Ended(..) => None,
        }
    }

    /// Notes that the session lets a step of the others pass.
    pub fn let_one_pass(&mut self) {
        self.has_waited = true;
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
    pub fn open<B: Backend<Row = R>>(&mut self, backend: &mut B) -> Result<(), BackendError> {
        let row = backend.open(&self.request, self.execution)?;
        let held = backend.prefilled(&row);
        self.place = Place::Prefill(row);
        tracing::debug!(session = %self.request.id, held, "prefill started");
        self.send(EngineEvent::PrefillStarted { at: Instant::now() });
        if held >= self.unfed().len() {
            self.has_read(backend, 0);
        }
        Ok(())
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
        let (held, total) = (backend.prefilled(row), self.request.prompt.len() as u32);
        let is_ready = read == 0 || held >= self.unfed().len();
        if is_ready && let Place::Prefill(row) = std::mem::replace(&mut self.place, Place::Waiting) {
            self.place = Place::Decode(row);
            tracing::debug!(session = %self.request.id, "decode started");
        }
        self.send(EngineEvent::Prefilled { done: if is_ready { total } else { held as u32 }, total });
    }

    /// Hands out what one step gave. A step launched before the session ended gives nothing.
    pub fn take(&mut self, output: StepOutput, at: Instant) {
        let Place::Decode(_) = self.place else { return };
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
        if !matches!(self.place, Place::Ended(..)) {
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
