//! What a session has given so far, and the result that this makes.

use super::clock::Clock;
use super::prepare::Job;
use crate::protocol::{EvaluationResult, FinishReason, SessionError, Timeline, tokens_per_second};
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

/// A session's answer as it grows.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub prompt_tokens: u32,
    pub text: String,
    pub token_ids: Vec<u32>,
    pub submitted: Option<Instant>,
    pub prefill: Option<Instant>,
    pub first_token: Option<Instant>,
    pub last_token: Option<Instant>,
}

impl Record {
    /// How many tokens came.
    pub fn tokens(&self) -> u32 {
        self.token_ids.len() as u32
    }

    /// Notes a token.
    pub fn token(&mut self, id: u32, at: Instant) {
        self.token_ids.push(id);
        self.first_token.get_or_insert(at);
        self.last_token = Some(at);
    }

    /// The result, with every figure as `protocol`'s metrics define it.
    pub fn into_result(self, job: &Job, end: End, clock: &Clock) -> EvaluationResult {
        let seconds = |at: Instant| clock.seconds(at);
        let ended_s = seconds(end.at);
        let timeline = Timeline {
            submitted_s: self.submitted.map_or(ended_s, seconds),
            prefill_s: self.prefill.map(seconds),
            first_token_s: self.first_token.map(seconds),
            last_token_s: self.last_token.map(seconds),
            ended_s,
        };
        let rate = tokens_per_second(self.tokens(), timeline.first_token_s, timeline.last_token_s);
        EvaluationResult {
            id: job.id,
            prompt: job.prompt.clone(),
            prompt_tokens: self.prompt_tokens,
            seed: job.sampling.seed(),
            temperature: job.sampling.temperature(),
            tokens: self.tokens(),
            text: self.text,
            token_ids: self.token_ids,
            time_to_first_token_ms: timeline.first_token_s.map(|first| (first - timeline.submitted_s) * 1000.0),
            duration_s: timeline.ended_s - timeline.submitted_s,
            tokens_per_second: rate,
            finish_reason: end.reason,
            error: end.error.map(|error| error.0),
            timeline,
            replay: None,
        }
    }
}
