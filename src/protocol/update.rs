//! What a running session tells whoever shows it.

use super::{EvaluationResult, Segment, SessionId};
use serde::{Deserialize, Serialize};

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Waiting in the queue.
    #[default]
    Queued,
    /// Its prompt is being read.
    Prefill,
    /// Tokens come.
    Decoding,
    /// It ran to an end of its own.
    Done,
    /// Someone stopped it.
    Stopped,
    /// It failed.
    Failed,
}

impl SessionState {
    /// Whether nothing more will come.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Failed)
    }

    /// Words for a person.
    pub fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Prefill => "prefill",
            Self::Decoding => "decoding",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// One update of one session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionUpdate {
    /// Which session.
    pub id: SessionId,
    /// Seconds from the run's first submit.
    pub at_s: f64,
    /// What happened.
    pub kind: UpdateKind,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateKind {
    /// It was handed to the engine.
    Submitted {
        /// Prompt tokens after the chat template; none where the engine doesn't tell.
        prompt_tokens: Option<u32>,
    },
    /// It left the queue, or more of its prompt has been read.
    Prefill {
        /// Prompt tokens read so far.
        done: u32,
        /// Prompt tokens in all.
        total: u32,
    },
    /// Tokens came; `text` may be empty while a character or a possible stop string is incomplete.
    Tokens {
        /// Text to append: whole characters only.
        text: String,
        /// How many tokens the session has given so far, these included.
        tokens: u32,
    },
    /// The tokens that came made this part of the answer. Only conversations are split.
    Segment(Segment),
    /// The first tool that was called and has given nothing yet gave this, or failed like this.
    ToolResult(Result<String, String>),
    /// It ended; nothing follows. The result's text is the whole text.
    Ended(Box<EvaluationResult>),
}
