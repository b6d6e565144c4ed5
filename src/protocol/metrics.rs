//! What each number means, once for window, console and JSON.

use super::{EvaluationResult, Execution, ModelSummary, ParallelConfig, RunReport};

/// A session's tokens/s: (tokens − 1) / (time of last token − time of first token); 0 below two tokens.
pub fn tokens_per_second(tokens: u32, first_token_s: Option<f64>, last_token_s: Option<f64>) -> f64 {
    match (first_token_s, last_token_s) {
        (Some(first), Some(last)) if tokens > 1 && last > first => f64::from(tokens - 1) / (last - first),
        _ => 0.0,
    }
}

/// A run's tokens/s: all tokens / wall time; 0 where no time has passed.
pub fn throughput(total_tokens: u64, wall_time_s: f64) -> f64 {
    if wall_time_s > 0.0 { total_tokens as f64 / wall_time_s } else { 0.0 }
}

/// The mean; 0 of nothing.
pub fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 { 0.0 } else { values.sum::<f64>() / count as f64 }
}

impl RunReport {
    /// Adds the sessions up. Wall time runs from the first submit, where the sessions' clocks begin, to the last end.
    pub fn new(
        model: &ModelSummary,
        config: ParallelConfig,
        mut sessions: Vec<EvaluationResult>,
        peak_memory_bytes: u64,
    ) -> Self {
        sessions.sort_by_key(|session| session.id);
        let total_tokens = sessions.iter().map(|session| u64::from(session.tokens)).sum();
        let wall_time_s = sessions.iter().map(|session| session.timeline.ended_s).fold(0.0, f64::max);
        Self {
            model: model.name.clone(),
            parameters: model.facts.parameters,
            execution: config.execution,
            exact_width: model
                .facts
                .exact_width
                .as_ref()
                .ok()
                .copied()
                .filter(|_| config.execution == Execution::Exact),
            packed_bits: model.facts.packed_bits,
            device: model.facts.device,
            load_seconds: model.facts.load_seconds,
            total_tokens,
            wall_time_s,
            tokens_per_second: throughput(total_tokens, wall_time_s),
            average_tokens_per_second: mean(sessions.iter().map(|session| session.tokens_per_second)),
            peak_memory_bytes,
            sessions,
            config,
        }
    }
}
