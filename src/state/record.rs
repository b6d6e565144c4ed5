//! Runs that ended: what the list of recent runs needs to know of each.

use crate::protocol::{ParallelConfig, RunReport};
use std::path::PathBuf;

/// The most runs that the list shows.
pub const MAX_RECENT_RUNS: usize = 50;

/// A run that ended and lies in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// The file that holds its report.
    pub path: PathBuf,
    /// When it ended, as a person reads it: "2026-11-25 01:09".
    pub ended: String,
    /// The model's name.
    pub model: String,
    /// Bits that dense weights were packed to while they loaded.
    pub packed_bits: Option<u32>,
    /// Its settings.
    pub config: ParallelConfig,
    /// Tokens of all sessions.
    pub total_tokens: u64,
    /// Tokens of all sessions / wall time.
    pub tokens_per_second: f64,
    /// Whether every session ran to an end of its own.
    pub is_complete: bool,
}

impl RunRecord {
    /// The entry of `report`, which lies at `path` and ended at `ended`.
    pub fn of(report: &RunReport, path: PathBuf, ended: String) -> Self {
        Self {
            path,
            ended,
            model: report.model.clone(),
            packed_bits: report.packed_bits,
            config: report.config.clone(),
            total_tokens: report.total_tokens,
            tokens_per_second: report.tokens_per_second,
            is_complete: report.sessions.iter().all(|session| session.finish_reason.is_success()),
        }
    }
}
