//! What can be set about the engine's scheduling.

use std::time::Duration;

/// How the engine shares the device among sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// The most sessions that hold a KV cache at once; the rest wait in order of arrival. At least 1.
    pub max_running: usize,
    /// The longest that prefill may hold running streams between two of their decode steps.
    pub max_stall: Duration,
    /// The most prompt tokens of one prefill chunk, however fast the device is. At least 1.
    pub max_chunk: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { max_running: 32, max_stall: Duration::from_millis(200), max_chunk: 512 }
    }
}
