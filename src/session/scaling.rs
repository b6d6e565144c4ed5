//! How a model scales: the same run at several numbers of sessions, under several executions.

use super::parallel::ParallelRun;
use super::source::Source;
use crate::protocol::{Execution, InvalidConfig, ParallelConfig, RunReport, ScalingRow, percentile, speed_up};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Tokens of the run before the first one that counts: what a device does only once belongs to no row.
const WARM_UP_TOKENS: u32 = 4;

/// Refuses a sweep that could not run to its end.
pub fn check(config: &ParallelConfig, counts: &[u32]) -> Result<(), InvalidConfig> {
    counts.iter().try_for_each(|&sessions| ParallelConfig { sessions, ..config.clone() }.validate())
}

/// Runs `config` once for each number of sessions and execution. The executions of one number follow each other, so that
/// a machine that is busy for a while slows all of them. `progress` is told the rows so far and which run comes next.
/// Rows are in the order of `executions`, then of `counts`. Dropping the future stops the sweep.
pub async fn scaling(
    source: impl Into<Arc<dyn Source>>,
    config: &ParallelConfig,
    counts: &[u32],
    executions: &[Execution],
    progress: impl Fn(&[ScalingRow], Execution, u32),
) -> Result<Vec<ScalingRow>, InvalidConfig> {
    let source = source.into();
    check(config, counts)?;
    let mut rows: Vec<ScalingRow> = Vec::new();
    let place = |row: &ScalingRow| {
        let execution = executions.iter().position(|execution| *execution == row.execution);
        (execution, counts.iter().position(|count| *count == row.sessions))
    };
    for &sessions in counts {
        for &execution in executions {
            progress(&rows, execution, sessions);
            if rows.is_empty() {
                let max_tokens = config.max_tokens.min(WARM_UP_TOKENS);
                run(&source, ParallelConfig { execution, sessions: 1, max_tokens, ..config.clone() }).await?;
            }
            let report = run(&source, ParallelConfig { execution, sessions, ..config.clone() }).await?;
            rows.push(row(&report));
            rows.sort_by_key(place);
            compare(&mut rows);
        }
    }
    Ok(rows)
}

async fn run(source: &Arc<dyn Source>, config: ParallelConfig) -> Result<RunReport, InvalidConfig> {
    // Each run reads its own prompts, so that rows can be compared.
    source.forget_prompts();
    // Nobody watches the sessions, so their updates need no reader.
    let (updates, _) = mpsc::channel(1);
    Ok(ParallelRun::start(Arc::clone(source), config, updates, Arc::new(|| {}))?.finish().await)
}

/// Sets each row's speed-up over the serialized run of as many sessions.
fn compare(rows: &mut [ScalingRow]) {
    let serialized: Vec<(u32, f64)> = rows
        .iter()
        .filter(|row| row.execution == Execution::Serialized)
        .map(|row| (row.sessions, row.tokens_per_second))
        .collect();
    for row in rows {
        let baseline = serialized.iter().find(|(sessions, _)| *sessions == row.sessions);
        row.speed_up = baseline.and_then(|(_, tokens_per_second)| speed_up(row.tokens_per_second, *tokens_per_second));
    }
}

fn row(report: &RunReport) -> ScalingRow {
    let mut first_tokens: Vec<f64> =
        report.sessions.iter().filter_map(|session| session.time_to_first_token_ms).collect();
    first_tokens.sort_by(f64::total_cmp);
    let mut errors = report.sessions.iter().filter_map(|session| session.error.as_ref());
    ScalingRow {
        execution: report.execution,
        sessions: report.sessions.len() as u32,
        tokens_per_second: report.tokens_per_second,
        tokens_per_second_per_session: report.average_tokens_per_second,
        time_to_first_token_p50_ms: percentile(&first_tokens, 0.50),
        time_to_first_token_p95_ms: percentile(&first_tokens, 0.95),
        peak_memory_bytes: report.peak_memory_bytes,
        speed_up: None,
        failed: errors.clone().count() as u32,
        error: errors.next().cloned(),
    }
}
