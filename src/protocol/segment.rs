//! The parts of an answer: what is said, what is thought, what is called.

use serde::{Deserialize, Serialize};

/// A piece of one part of an answer. Pieces of the same kind that follow each other belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Segment {
    /// Words for the person.
    Text {
        /// Text to append.
        text: String,
    },
    /// The model's thoughts before it speaks.
    Thinking {
        /// Text to append.
        text: String,
    },
    /// A whole call of a tool.
    ToolCall {
        /// Which tool.
        name: String,
        /// Its arguments as JSON.
        arguments: String,
    },
}
