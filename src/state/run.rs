//! A parallel run as the window shows it: its panels, and figures that always reconcile with them.

use super::panel::Panel;
use super::{RateCurve, RunRecord};
use crate::protocol::{
    EvaluationResult, Execution, ParallelConfig, RunReport, SessionId, SessionState, SessionUpdate, mean, speed_up,
    throughput,
};
use std::path::PathBuf;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPhase {
    /// Sessions are running.
    Running,
    /// Everyone was asked to stop; the last ends are still to come.
    Stopping,
    /// All sessions ended.
    Ended,
}

/// A parallel run as the window shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// The settings it was started with.
    pub config: ParallelConfig,
    /// The model's name.
    pub model: String,
    /// Bits that dense weights were packed to while they loaded.
    pub packed_bits: Option<u32>,
    /// One a session, in order of their numbers.
    pub panels: Vec<Panel>,
    /// Where it stands.
    pub phase: RunPhase,
    /// Seconds from the first submit to now, or to the last end.
    pub elapsed_s: f64,
    /// How fast all sessions together were lately.
    pub curve: RateCurve,
    /// The most bytes MLX had active at once; none where the engine doesn't tell.
    pub peak_memory_bytes: Option<u64>,
    /// What it gave, once it ended.
    pub report: Option<RunReport>,
    /// The file that it is kept in.
    pub file: Option<PathBuf>,
    /// The session that is being run again, if one is.
    again: Option<SessionId>,
}

/// The figures of a whole run, summed over its panels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunTotals {
    /// Tokens of all panels.
    pub tokens: u64,
    /// Tokens of all panels / seconds from the first submit.
    pub tokens_per_second: f64,
    /// The mean of the panels' tokens/s.
    pub average_tokens_per_second: f64,
    /// How many panels are in each state, in the order of [`STATES`].
    pub states: [usize; STATES.len()],
}

/// Every session state, in the order of a session's life.
pub const STATES: [SessionState; 6] = [
    SessionState::Queued,
    SessionState::Prefill,
    SessionState::Decoding,
    SessionState::Done,
    SessionState::Stopped,
    SessionState::Failed,
];

impl RunState {
    /// A run whose sessions have not begun.
    pub fn start(config: ParallelConfig, model: String) -> Self {
        Self {
            panels: (0..config.sessions).map(|index| Panel::queued(&config, index)).collect(),
            config,
            model,
            packed_bits: None,
            phase: RunPhase::Running,
            elapsed_s: 0.0,
            curve: RateCurve::default(),
            peak_memory_bytes: None,
            report: None,
            file: None,
            again: None,
        }
    }

    /// A finished run from its report.
    pub fn from_report(report: RunReport) -> Self {
        Self {
            panels: report.sessions.iter().map(|result| Panel::from_result(&report.config, result)).collect(),
            config: report.config.clone(),
            model: report.model.clone(),
            packed_bits: report.packed_bits,
            phase: RunPhase::Ended,
            elapsed_s: report.wall_time_s,
            curve: RateCurve::default(),
            peak_memory_bytes: report.peak_memory_bytes,
            report: Some(report),
            file: None,
            again: None,
        }
    }

    /// Whether sessions are running or stopping.
    pub fn is_active(&self) -> bool {
        self.phase != RunPhase::Ended
    }

    /// Takes in one session's update.
    pub fn apply(&mut self, mut update: SessionUpdate) {
        if let Some(again) = self.again {
            // A session that is run again is number 0 of a run of its own.
            update.id = again;
        }
        let Some(panel) = self.panels.get_mut(update.id.0 as usize) else { return };
        let before = panel.tokens;
        panel.apply(update);
        let came = panel.tokens.saturating_sub(before);
        if came > 0 {
            let at_s = panel.timeline.last_token_s.unwrap_or(self.elapsed_s);
            self.curve.add(at_s, came);
        }
    }

    /// Moves the clock: `running_s` seconds have passed since this run, or the session run again, was submitted.
    pub fn tick(&mut self, running_s: f64, peak_memory_bytes: Option<u64>) {
        if !self.is_active() {
            return;
        }
        self.elapsed_s = self.again_offset_s() + running_s;
        self.peak_memory_bytes = self.peak_memory_bytes.max(peak_memory_bytes);
        self.curve.advance(self.elapsed_s);
        for panel in self.panels.iter_mut().filter(|panel| panel.state == SessionState::Decoding) {
            panel.curve.advance(self.elapsed_s);
        }
    }

    /// Takes in the report of the run, or of the one session that was run again.
    pub fn finish(&mut self, report: RunReport) {
        self.phase = RunPhase::Ended;
        self.peak_memory_bytes = self.peak_memory_bytes.max(report.peak_memory_bytes);
        match (self.again.take(), self.report.take()) {
            (Some(again), Some(whole)) => {
                let merged = with_session_run_again(whole, again, report);
                self.elapsed_s = merged.wall_time_s;
                self.report = Some(merged);
            }
            (_, _) => {
                self.elapsed_s = report.wall_time_s;
                for result in &report.sessions {
                    if let Some(panel) = self.panels.get_mut(result.id.0 as usize) {
                        // The report holds the last word, also where an update got lost.
                        panel.settle(result);
                    }
                }
                self.report = Some(report);
            }
        }
    }

    /// Makes one session ready to run again with its own seed. Returns the settings of that run of one session, or
    /// none while the run is still on.
    pub fn run_again(&mut self, id: SessionId) -> Option<ParallelConfig> {
        if self.is_active() || self.report.is_none() {
            return None;
        }
        let offset_s = self.elapsed_s;
        let panel = self.panels.get_mut(id.0 as usize)?;
        panel.restart(offset_s);
        let config = ParallelConfig {
            sessions: 1,
            prompts: vec![panel.prompt.clone()],
            temperature: panel.temperature,
            temperatures: None,
            seed: panel.seed,
            ..self.config.clone()
        };
        self.again = Some(id);
        self.phase = RunPhase::Running;
        Some(config)
    }

    /// The session that is being run again, if one is.
    pub fn running_again(&self) -> Option<SessionId> {
        self.again
    }

    fn again_offset_s(&self) -> f64 {
        match (&self.again, &self.report) {
            (Some(_), Some(report)) => report.wall_time_s,
            _ => 0.0,
        }
    }

    /// The figures of the whole run, summed over the panels.
    pub fn totals(&self) -> RunTotals {
        let mut totals = RunTotals {
            average_tokens_per_second: mean(self.panels.iter().map(Panel::tokens_per_second)),
            ..RunTotals::default()
        };
        for panel in &self.panels {
            totals.tokens += u64::from(panel.tokens);
            if let Some(place) = STATES.iter().position(|state| *state == panel.state) {
                totals.states[place] += 1;
            }
        }
        totals.tokens_per_second = throughput(totals.tokens, self.elapsed_s);
        totals
    }

    /// This run's throughput over that of the newest serialized run of the same settings, if there is one.
    pub fn speed_up(&self, recent: &[RunRecord]) -> Option<f64> {
        if self.config.execution == Execution::Serialized || self.again.is_some() {
            return None;
        }
        let baseline = ParallelConfig { execution: Execution::Serialized, ..self.config.clone() };
        let is_baseline = |record: &RunRecord| {
            let is_same_model = record.model == self.model && record.packed_bits == self.packed_bits;
            is_same_model && record.config == baseline && record.is_complete
        };
        let serialized = recent.iter().find(|record| is_baseline(record))?.tokens_per_second;
        speed_up(self.totals().tokens_per_second, serialized)
    }
}

/// `whole` with session `id` replaced by the one session of `again`, which ran after it. The pause between the two
/// counts for nothing: its clock goes on from the end of `whole`.
fn with_session_run_again(mut whole: RunReport, id: SessionId, again: RunReport) -> RunReport {
    let offset_s = whole.wall_time_s;
    let replacement = again.sessions.into_iter().next();
    if let (Some(place), Some(result)) = (whole.sessions.iter_mut().find(|session| session.id == id), replacement) {
        *place = EvaluationResult { id, timeline: result.timeline.shifted(offset_s), ..result };
    }
    whole.wall_time_s += again.wall_time_s;
    whole.add_up();
    whole.peak_memory_bytes = whole.peak_memory_bytes.max(again.peak_memory_bytes);
    whole
}
