//! What the engine tells a session.

use super::FinishReason;
use std::fmt;
use std::time::Instant;

/// One step in a session's life, as the engine saw it.
#[derive(Clone, Debug)]
pub enum EngineEvent {
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
    /// A token came out.
    Token {
        /// The token's id.
        id: u32,
        /// When it was read from the device.
        at: Instant,
        /// A hash of the logits it was chosen from, where the request asked for it.
        logits_hash: Option<u64>,
    },
    /// The last event of the session.
    Ended {
        /// Why.
        reason: FinishReason,
        /// What went wrong, where the reason is [`FinishReason::Error`].
        error: Option<SessionError>,
        /// When.
        at: Instant,
    },
}

/// Why one session failed, in words for a person: what happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionError(pub String);

impl fmt::Display for SessionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SessionError {}
