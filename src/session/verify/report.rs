//! What a verification found.

use crate::protocol::{Execution, InvalidConfig, Origin, ParallelConfig, SessionError, SessionId};
use serde::{Deserialize, Serialize};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Which model on which engine; in JSON two fields, `model` and `engine`, beside the rest.
    #[serde(flatten)]
    pub origin: Origin,
    /// How the sessions ran.
    pub execution: Execution,
    /// Rounds that were run.
    pub rounds: u32,
    /// One a session and round.
    pub comparisons: Vec<Comparison>,
    /// The settings.
    pub config: ParallelConfig,
}

impl VerifyReport {
    /// Whether no session differed or failed.
    pub fn is_equal(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.verdict.is_equal())
    }
}

/// One session among others, compared with itself alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Counted from 0.
    pub round: u32,
    /// Which session.
    pub id: SessionId,
    /// Tokens that it gave among others.
    pub tokens: u32,
    /// Tokens of the whole run that came before it joined.
    pub joined_after: u64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
    /// What the comparison found.
    pub verdict: Verdict,
}

/// What comparing a session with itself alone found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every token and every step's logits are the same, bit for bit.
    Equal,
    /// The engine tells no token ids; the texts are the same.
    TextEqual,
    /// The tokens differ from this position of the answer on, counted from 0.
    TokensDiffer(u32),
    /// The tokens are the same; the logits differ from this position on.
    LogitsDiffer(u32),
    /// The engine tells no token ids; the texts differ from this character on, counted from 0.
    TextDiffers(u32),
    /// It failed among others or alone.
    Failed(String),
}

impl Verdict {
    /// Whether nothing that the engine tells differs.
    pub fn is_equal(&self) -> bool {
        matches!(self, Self::Equal | Self::TextEqual)
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A setting is outside of its range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A session can't run: its prompt can't be tokenized, or the engine is gone.
    #[error("session {0}: {1}")]
    Session(SessionId, SessionError),
}
