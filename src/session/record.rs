//! What a session has given so far, and the result that this makes.

use super::clock::Clock;
use super::source::Piece;
use crate::protocol::{EvaluationResult, FinishReason, Origin, Sampling, SessionError, SessionId, Timeline};
use std::time::Instant;

/// How a session ended.
#[derive(Debug)]
pub(super) struct End {
    pub reason: FinishReason,
    pub error: Option<SessionError>,
    pub at: Instant,
}

impl End {
    pub fn now(reason: FinishReason) -> Self {
        Self { reason, error: None, at: Instant::now() }
    }

    pub fn failed(error: SessionError) -> Self {
        Self { reason: FinishReason::Error, error: Some(error), at: Instant::now() }
    }
}

/// Which session a result is of.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub id: SessionId,
    origin: Origin,
    prompt: String,
    seed: u64,
    temperature: f32,
}

impl Subject {
    /// `prompt` is as the person wrote it.
    pub fn new(id: SessionId, origin: &Origin, prompt: impl Into<String>, sampling: &Sampling) -> Self {
        Self {
            id,
            origin: origin.clone(),
            prompt: prompt.into(),
            seed: sampling.seed(),
            temperature: sampling.temperature(),
        }
    }
}

/// A session's answer as it grows.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub prompt_tokens: Option<u32>,
    pub text: String,
    pub token_ids: Vec<u32>,
    pub tokens: u32,
    pub submitted: Option<Instant>,
    pub prefill: Option<Instant>,
    pub first_token: Option<Instant>,
    pub last_token: Option<Instant>,
}

impl Record {
    /// Notes a piece of the answer.
    pub fn take(&mut self, piece: &Piece) {
        self.text.push_str(&piece.text);
        self.token_ids.extend(piece.id);
        self.tokens += piece.tokens;
        if piece.tokens > 0 {
            self.first_token.get_or_insert(piece.at);
            self.last_token = Some(piece.at);
        }
    }

    /// Adds what the next round of the same conversation gave.
    pub fn append(&mut self, next: Self) {
        self.prompt_tokens = next.prompt_tokens.or(self.prompt_tokens);
        self.text.push_str(&next.text);
        self.token_ids.extend(next.token_ids);
        self.tokens += next.tokens;
        self.submitted = self.submitted.or(next.submitted);
        self.prefill = self.prefill.or(next.prefill);
        self.first_token = self.first_token.or(next.first_token);
        self.last_token = next.last_token.or(self.last_token);
    }

    /// The result, with every figure as `protocol`'s metrics define it.
    pub fn into_result(self, subject: Subject, end: End, clock: &Clock) -> EvaluationResult {
        let seconds = |at: Instant| clock.seconds(at);
        let ended_s = seconds(end.at);
        let timeline = Timeline {
            submitted_s: self.submitted.map_or(ended_s, seconds),
            prefill_s: self.prefill.map(seconds),
            first_token_s: self.first_token.map(seconds),
            last_token_s: self.last_token.map(seconds),
            ended_s,
        };
        EvaluationResult {
            id: subject.id,
            origin: subject.origin,
            prompt: subject.prompt,
            prompt_tokens: self.prompt_tokens,
            seed: subject.seed,
            temperature: subject.temperature,
            tokens: self.tokens,
            text: self.text,
            token_ids: self.token_ids,
            time_to_first_token_ms: timeline.time_to_first_token_ms(),
            duration_s: timeline.duration_s(),
            tokens_per_second: timeline.tokens_per_second(self.tokens),
            finish_reason: end.reason,
            error: end.error.map(|error| error.0),
            timeline,
            replay: None,
        }
    }
}
