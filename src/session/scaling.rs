//! How a model scales: the same run at several numbers of sessions, under several executions.

use super::{LoadedModel, ParallelRun};
use crate::protocol::{Execution, InvalidConfig, ParallelConfig, RunReport};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

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
    /// The most bytes MLX had active at once.
    pub peak_memory_bytes: u64,
    /// Throughput over that of the serialized run of as many sessions, where the sweep has one.
    pub speed_up: Option<f64>,
    /// Sessions that failed.
    pub failed: u32,
}

/// Runs `config` once for each execution and number of sessions. `progress` is told which run comes next. Dropping the
/// future stops the sweep.
pub async fn scaling(
    model: &LoadedModel,
    config: &ParallelConfig,
    counts: &[u32],
    executions: &[Execution],
    progress: impl Fn(Execution, u32),
) -> Result<Vec<ScalingRow>, InvalidConfig> {
    let mut rows = Vec::new();
    for &execution in executions {
        for &sessions in counts {
            progress(execution, sessions);
            let (updates, _) = mpsc::channel(1);
            let config = ParallelConfig { execution, sessions, ..config.clone() };
            let report = ParallelRun::start(model, config, updates, Arc::new(|| {}))?.finish().await;
            rows.push(row(&report));
        }
    }
    let serialized: Vec<_> = rows.iter().filter(|row| row.execution == Execution::Serialized).cloned().collect();
    for row in &mut rows {
        let baseline = serialized.iter().find(|baseline| baseline.sessions == row.sessions);
        row.speed_up = baseline
            .filter(|baseline| baseline.tokens_per_second > 0.0)
            .map(|baseline| row.tokens_per_second / baseline.tokens_per_second);
    }
    Ok(rows)
}

fn row(report: &RunReport) -> ScalingRow {
    let mut first_tokens: Vec<f64> =
        report.sessions.iter().filter_map(|session| session.time_to_first_token_ms).collect();
    first_tokens.sort_by(f64::total_cmp);
    ScalingRow {
        execution: report.execution,
        sessions: report.sessions.len() as u32,
        tokens_per_second: report.tokens_per_second,
        tokens_per_second_per_session: report.average_tokens_per_second,
        time_to_first_token_p50_ms: percentile(&first_tokens, 0.50),
        time_to_first_token_p95_ms: percentile(&first_tokens, 0.95),
        peak_memory_bytes: report.peak_memory_bytes,
        speed_up: None,
        failed: report.sessions.iter().filter(|session| session.error.is_some()).count() as u32,
    }
}

/// The smallest of `sorted` that at least `share` of them don't exceed; 0 of none.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}
