//! One session run to its end: all that an engine tells of its answer, and how two such answers compare.

use super::report::Verdict;
use crate::protocol::{FinishReason, SessionError};
use crate::session::source::{AnswerEvent, Starting};

/// What a session gave: its tokens and the hashes of the logits they were chosen from, where the engine tells them, and
/// its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub token_ids: Vec<u32>,
    hashes: Vec<Option<u64>>,
    pub text: String,
    pub tokens: u32,
    error: Option<String>,
}

impl Trace {
    /// A session of which nothing came but why.
    pub fn failed(error: &str) -> Self {
        Self { error: Some(error.to_owned()), ..Self::default() }
    }

    /// Runs a session to its end, or until it has given `cancels_after` tokens. `count` is told how many came.
    pub async fn of(starting: Starting, cancels_after: Option<u32>, count: impl Fn(u64)) -> Result<Self, SessionError> {
        let mut answer = starting.await?.answer;
        let mut trace = Self::default();
        loop {
            match answer.next().await {
                AnswerEvent::Piece(piece) => {
                    trace.token_ids.extend(piece.id);
                    trace.hashes.extend(piece.id.map(|_| piece.logits_hash));
                    trace.text.push_str(&piece.text);
                    trace.tokens += piece.tokens;
                    count(u64::from(piece.tokens));
                    if cancels_after.is_some_and(|limit| trace.tokens >= limit) {
                        return Ok(trace);
                    }
                }
                AnswerEvent::Ended { reason, error, .. } => {
                    if reason == FinishReason::Error {
                        trace.error = Some(error.map_or_else(|| "no reason given".to_owned(), |error| error.0));
                    }
                    return Ok(trace);
                }
                AnswerEvent::Counted { .. } | AnswerEvent::PrefillStarted { .. } | AnswerEvent::Prefilled { .. } => {}
            }
        }
    }

    /// Compares a session among others with itself alone; one that `ends_early` may be shorter. Without `token_ids` only
    /// texts can be compared.
    pub fn compare(&self, alone: &Self, ends_early: bool, token_ids: bool) -> Verdict {
        if let Some(error) = self.error.as_ref().or(alone.error.as_ref()) {
            return Verdict::Failed(error.clone());
        }
        if !token_ids {
            let difference = first_difference(self.text.chars(), alone.text.chars(), ends_early);
            return difference.map_or(Verdict::TextEqual, Verdict::TextDiffers);
        }
        if let Some(position) = first_difference(self.token_ids.iter(), alone.token_ids.iter(), ends_early) {
            return Verdict::TokensDiffer(position);
        }
        match self.hashes.iter().zip(&alone.hashes).position(|(one, other)| one != other) {
            Some(position) => Verdict::LogitsDiffer(position as u32),
            None => Verdict::Equal,
        }
    }
}

/// The first position at which the answers differ. An answer that ended early may be shorter than the other.
pub(super) fn first_difference<T: PartialEq>(
    mut together: impl Iterator<Item = T>,
    mut alone: impl Iterator<Item = T>,
    ends_early: bool,
) -> Option<u32> {
    for position in 0.. {
        match (together.next(), alone.next()) {
            (None, None) => return None,
            (None, Some(_)) if ends_early => return None,
            (one, other) if one == other => {}
            _ => return Some(position),
        }
    }
    None
}
