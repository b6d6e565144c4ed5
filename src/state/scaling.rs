//! A sweep over numbers of sessions as the window shows it: its settings, its rows, its curves.

use crate::protocol::{Execution, InvalidConfig, ParallelConfig, ScalingRow};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::ops::RangeInclusive;

/// The exponents of the slider of the largest number of sessions: 2^0 to 2^5.
pub const MOST_LOG2: RangeInclusive<u32> = 0..=5;

/// The next sweep's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingSettings {
    /// Runs serialized.
    pub serialized: bool,
    /// Runs batched.
    pub batched: bool,
    /// Runs exactly.
    pub exact: bool,
    /// The largest number of sessions is 2 to this power.
    pub most_log2: u32,
    /// The most tokens of each session.
    pub max_tokens: u32,
}

impl Default for ScalingSettings {
    fn default() -> Self {
        Self { serialized: true, batched: true, exact: false, most_log2: *MOST_LOG2.end(), max_tokens: 64 }
    }
}

impl ScalingSettings {
    /// The chosen executions.
    pub fn executions(&self) -> Vec<Execution> {
        let all = [
            (self.serialized, Execution::Serialized),
            (self.batched, Execution::Batched),
            (self.exact, Execution::Exact),
        ];
        all.into_iter().filter_map(|(is_chosen, execution)| is_chosen.then_some(execution)).collect()
    }

    /// The switch of `execution`.
    pub fn switch(&mut self, execution: Execution) -> &mut bool {
        match execution {
            Execution::Serialized => &mut self.serialized,
            Execution::Batched => &mut self.batched,
            Execution::Exact => &mut self.exact,
        }
    }

    /// The numbers of sessions: powers of two.
    pub fn counts(&self) -> Vec<u32> {
        (*MOST_LOG2.start()..=self.most_log2).map(|exponent| 1 << exponent).collect()
    }

    /// The largest number of sessions.
    pub fn most(&self) -> u32 {
        1 << self.most_log2
    }

    /// Pulls every value into its range.
    pub fn in_range(self) -> Self {
        Self {
            most_log2: self.most_log2.clamp(*MOST_LOG2.start(), *MOST_LOG2.end()),
            max_tokens: self.max_tokens.clamp(1, 32_768),
            ..self
        }
    }

    /// The run of the largest number of sessions, from the parallel run's prompts and sampling.
    pub fn config(&self, parallel: ParallelConfig) -> Result<ParallelConfig, InvalidConfig> {
        if self.executions().is_empty() {
            return Err(InvalidConfig("Choose at least one execution".into()));
        }
        let config =
            ParallelConfig { sessions: self.most(), max_tokens: self.max_tokens, temperatures: None, ..parallel };
        config.validate().map(|()| config)
    }
}

/// Where a sweep stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalingPhase {
    /// A run is on.
    Running {
        /// How its sessions share the device.
        execution: Execution,
        /// How many there are.
        sessions: u32,
    },
    /// Every run ended.
    Ended,
    /// Someone stopped it; the rows so far stay.
    Stopped,
    /// It broke.
    Failed(String),
}

/// A sweep as the window shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingState {
    /// The model's name and the device: "SmolLM2-135M-Instruct on cpu".
    pub subject: String,
    /// Its settings.
    pub settings: ScalingSettings,
    /// What the runs gave so far, by execution and then by number of sessions.
    pub rows: Vec<ScalingRow>,
    /// Where it stands.
    pub phase: ScalingPhase,
}

impl ScalingState {
    /// A sweep that begins.
    pub fn start(subject: String, settings: ScalingSettings) -> Self {
        let execution = settings.executions().first().copied().unwrap_or_default();
        Self { subject, settings, rows: Vec::new(), phase: ScalingPhase::Running { execution, sessions: 1 } }
    }

    /// Whether a run is on.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, ScalingPhase::Running { .. })
    }

    /// How many runs there are in all.
    pub fn runs(&self) -> usize {
        self.settings.executions().len() * self.settings.counts().len()
    }

    /// The executions that have rows, in order.
    pub fn executions(&self) -> impl Iterator<Item = Execution> + '_ {
        Execution::ALL.into_iter().filter(|execution| self.rows.iter().any(|row| row.execution == *execution))
    }

    /// (sessions, `figure`) of an execution's runs without a failed session.
    pub fn curve(&self, execution: Execution, figure: impl Fn(&ScalingRow) -> Option<f64>) -> Vec<(u32, f64)> {
        let whole = self.rows.iter().filter(|row| row.execution == execution && row.failed == 0);
        whole.filter_map(|row| figure(row).map(|value| (row.sessions, value))).collect()
    }

    /// Where an execution's throughput bends.
    pub fn knee(&self, execution: Execution) -> Option<(u32, f64)> {
        let curve = self.curve(execution, |row| Some(row.tokens_per_second));
        knee(&curve).and_then(|place| curve.get(place).copied())
    }

    /// The rows as a spreadsheet reads them.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "execution,sessions,tokens_per_second,tokens_per_second_per_session,time_to_first_token_p50_ms,\
             time_to_first_token_p95_ms,peak_memory_bytes,speed_up,failed\n",
        );
        for row in &self.rows {
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{}",
                row.execution,
                row.sessions,
                row.tokens_per_second,
                row.tokens_per_second_per_session,
                row.time_to_first_token_p50_ms,
                row.time_to_first_token_p95_ms,
                row.peak_memory_bytes.map(|peak| peak.to_string()).unwrap_or_default(),
                row.speed_up.map(|speed_up| speed_up.to_string()).unwrap_or_default(),
                row.failed,
            );
        }
        text
    }
}

/// A curve that grows by less than this share of its top is flat: it has no knee.
const FLAT: f64 = 0.15;
/// A curve that leaves its chord by less than this is straight: it has no knee.
const STRAIGHT: f64 = 0.1;

/// The place at which a curve (x growing) bends: beyond it, more sessions give less. Where a curve scaled to 0 to 1 in
/// both directions is farthest above its chord, after Satopää, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a
/// Haystack" (2011). None of a flat, straight or short curve.
pub fn knee(curve: &[(u32, f64)]) -> Option<usize> {
    let (first, last) = (curve.first()?, curve.last()?);
    let low = curve.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = curve.iter().map(|point| point.1).fold(0.0, f64::max);
    if curve.len() < 3 || high - low < FLAT * high {
        return None;
    }
    let above = |(sessions, value): &(u32, f64)| {
        (value - low) / (high - low) - f64::from(sessions - first.0) / f64::from(last.0 - first.0)
    };
    let (place, height) = curve.iter().map(above).enumerate().max_by(|one, other| one.1.total_cmp(&other.1))?;
    (height > STRAIGHT).then_some(place)
}
