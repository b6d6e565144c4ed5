//! What a session asks of the engine.

use super::Sampling;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A session's number within its run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u32);

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One session's work for the engine: ids in, ids out.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// The session's number, for logs and errors only: the engine keeps ids of its own.
    pub id: SessionId,
    /// The rendered and tokenized prompt.
    pub prompt: Arc<[u32]>,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The most tokens to give; at least 1.
    pub max_tokens: u32,
    /// Ids that end the session; they are not handed out.
    pub end_of_sequence: Arc<[u32]>,
    /// Whether every step's logits are hashed, for proofs of exactness.
    pub hash_logits: bool,
}
