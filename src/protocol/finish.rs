//! Why a session ended.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model gave one of its end-of-sequence ids; the id is no part of the text.
    EndOfSequence,
    /// A stop string came; it and what follows it is no part of the text.
    StopString,
    /// The session's own token limit was reached.
    TokenLimit,
    /// Prompt and answer fill the model's context.
    ContextLimit,
    /// Someone stopped it.
    Cancelled,
    /// It failed; the result's `error` says how.
    Error,
}

impl FinishReason {
    /// Whether the session ran to an end of its own.
    pub fn is_success(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Error)
    }

    /// Words for a person.
    pub fn label(self) -> &'static str {
        match self {
            Self::EndOfSequence => "end of sequence",
            Self::StopString => "stop string",
            Self::TokenLimit => "token limit",
            Self::ContextLimit => "context limit",
            Self::Cancelled => "stopped",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for FinishReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}
