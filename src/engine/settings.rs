//! What can be set about an engine: how it shares the device, and how much it holds.

use crate::protocol::ParallelConfig;
use std::time::Duration;

/// How the engine shares the device among sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// The most sessions that hold a KV cache at once; the rest wait in order of arrival. At least 1.
    pub max_running: usize,
    /// The most sessions that run or wait; one more is refused. At least 1; what the engine starts with stays.
    pub max_sessions: usize,
    /// The longest that prefill may hold running streams between two of their decode steps.
    pub max_stall: Duration,
    /// The most prompt tokens of one prefill chunk, however fast the device is. At least 1.
    pub max_chunk: usize,
    /// How many bytes of freed memory MLX keeps for reuse. MLX has one limit for the whole process: what was set last
    /// holds.
    pub cache_limit: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            max_running: 32,
            // Several runs of the largest size.
            max_sessions: 4 * ParallelConfig::MAX_SESSIONS as usize,
            max_stall: Duration::from_millis(200),
            max_chunk: 512,
            cache_limit: ParallelConfig::default().cache_limit(),
        }
    }
}
