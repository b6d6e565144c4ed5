//! How a session's answer compares with the same session run alone.

use serde::{Deserialize, Serialize};

/// What a session's replay, alone, found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Replay {
    /// Every token is the same.
    Exact,
    /// The engine tells no token ids; the text is the same.
    SameText,
    /// The tokens differ.
    Differs {
        /// The first token that differs, counted from 0.
        position: u32,
        /// Where that token's text begins in the session's text, in bytes.
        start: usize,
        /// Where it ends. The same place where the answer ended before a token that came alone.
        end: usize,
        /// What came in its place when the session ran alone; none where the answer ended there.
        alone: Option<String>,
    },
    /// The engine tells no token ids; the texts differ.
    TextDiffers {
        /// The first character that differs, counted from 0.
        character: u32,
        /// Where it begins in the session's text, in bytes.
        start: usize,
        /// Where it ends. The same place where the answer ended before a character that came alone.
        end: usize,
        /// What came from there on when the session ran alone; none where the answer ended there.
        alone: Option<String>,
    },
    /// It could not be replayed.
    Failed {
        /// Why, in words for a person.
        error: String,
    },
}
