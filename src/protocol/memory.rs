//! What MLX says of its memory.

use serde::{Deserialize, Serialize};

/// MLX's own figures, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigures {
    /// In use by arrays.
    pub active: u64,
    /// Held for reuse.
    pub cache: u64,
    /// The most that was active at once since the run (or the load) began.
    pub peak: u64,
}
