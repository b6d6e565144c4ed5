//! What each number means, once for window, console and JSON.

use super::{EvaluationResult, Execution, ModelSummary, Origin, ParallelConfig, RunReport, Timeline};

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

/// How many times as fast as a baseline; none where the baseline gave nothing.
pub fn speed_up(tokens_per_second: f64, baseline: f64) -> Option<f64> {
    (baseline > 0.0).then(|| tokens_per_second / baseline)
}

/// The mean; 0 of nothing.
pub fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 { 0.0 } else { values.sum::<f64>() / count as f64 }
}

/// The smallest of `sorted` that at least `share` of them don't exceed; 0 of none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl Timeline {
    /// The tokens/s of a session that gave `tokens` tokens so far; see [`tokens_per_second`].
    pub fn tokens_per_second(&self, tokens: u32) -> f64 {
        tokens_per_second(tokens, self.first_token_s, self.last_token_s)
    }

    /// From submit to the first token out, queueing included, in ms; none before it.
    pub fn time_to_first_token_ms(&self) -> Option<f64> {
        self.first_token_s.map(|first| (first - self.submitted_s) * 1000.0)
    }

    /// From submit to end, in seconds.
    pub fn duration_s(&self) -> f64 {
        self.ended_s - self.submitted_s
    }

    /// The same stretches, `offset_s` seconds later.
    pub fn shifted(self, offset_s: f64) -> Self {
        let later = |at: Option<f64>| at.map(|at| at + offset_s);
        Self {
            submitted_s: self.submitted_s + offset_s,
            prefill_s: later(self.prefill_s),
            first_token_s: later(self.first_token_s),
            last_token_s: later(self.last_token_s),
            ended_s: self.ended_s + offset_s,
        }
    }
}

impl RunReport {
    /// Adds the sessions up. `models` are where they ran, each once, with the figures of those that are loaded here.
    pub fn new(
        models: &[(Origin, Option<ModelSummary>)],
        config: ParallelConfig,
        mut sessions: Vec<EvaluationResult>,
        peak_memory_bytes: Option<u64>,
    ) -> Self {
        sessions.sort_by_key(|session| session.id);
        let names: Vec<String> = models.iter().map(|(origin, _)| origin.to_string()).collect();
        let exact_width = common(models, |model| model.facts.exact_width.as_ref().ok().copied());
        let wall_time_s = sessions.iter().map(|session| session.timeline.ended_s).fold(0.0, f64::max);
        let mut report = Self {
            model: names.join(", "),
            parameters: common(models, |model| Some(model.facts.parameters)),
            execution: config.execution,
            exact_width: exact_width.filter(|_| config.execution == Execution::Exact),
            packed_bits: common(models, |model| model.facts.packed_bits),
            device: common(models, |model| Some(model.facts.device)),
            load_seconds: common(models, |model| Some(model.facts.load_seconds)),
            total_tokens: 0,
            wall_time_s,
            tokens_per_second: 0.0,
            average_tokens_per_second: 0.0,
            peak_memory_bytes,
            sessions,
            config,
        };
        report.add_up();
        report
    }

    /// Sums the sessions' figures up again, after one of them was replaced. Wall time stays as it is: it runs from the
    /// first submit, where the sessions' clocks begin, to the last end.
    pub fn add_up(&mut self) {
        self.total_tokens = self.sessions.iter().map(|session| u64::from(session.tokens)).sum();
        self.tokens_per_second = throughput(self.total_tokens, self.wall_time_s);
        self.average_tokens_per_second = mean(self.sessions.iter().map(|session| session.tokens_per_second));
    }
}

/// What all models agree on; none where one differs or isn't known.
fn common<T: PartialEq>(
    models: &[(Origin, Option<ModelSummary>)],
    figure: impl Fn(&ModelSummary) -> Option<T>,
) -> Option<T> {
    let mut figures = models.iter().map(|(_, model)| model.as_ref().and_then(&figure));
    let first = figures.next()??;
    figures.all(|figure| figure.as_ref() == Some(&first)).then_some(first)
}
