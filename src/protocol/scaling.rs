//! One run of a sweep over numbers of sessions, in figures.

use super::Execution;
use serde::{Deserialize, Serialize};

/// One run of a sweep, in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingRow {
    /// How the sessions shared the device.
    pub execution: Execution,
    /// How many ran at once.
    pub sessions: u32,
    /// All tokens / wall time.
    pub tokens_per_second: f64,
    /// The mean of the sessions' own tokens/s.
    pub tokens_per_second_per_session: f64,
    /// Half of the sessions had their first token by then, in ms.
    pub time_to_first_token_p50_ms: f64,
    /// 95 % of the sessions had their first token by then, in ms.
    pub time_to_first_token_p95_ms: f64,
    /// The most bytes MLX had active at once; none where the engine doesn't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Throughput over that of the serialized run of as many sessions, where the sweep has one.
    pub speed_up: Option<f64>,
    /// Sessions that failed.
    pub failed: u32,
    /// Why the first of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
