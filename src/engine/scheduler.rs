//! Which session's prompt is read next, and how much of it: a pure policy over plain data.
//!
//! Every session that can decode takes part in every step. Between two steps there is room for one bounded chunk of
//! prefill, which goes to the sessions in order of arrival and may span several short prompts.

use super::EngineSettings;
use std::time::Duration;

/// Where a session stands, as far as the policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It holds no row yet.
    Waiting,
    /// It holds a row whose prompt is not read to its end.
    Prefill,
    /// It takes part in decode steps.
    Decode,
    /// It is about to leave.
    Ended,
}

/// One session's share of a prefill chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefillChunk {
    /// The session's place in order of arrival.
    pub session: usize,
    /// The most prompt tokens to read.
    pub tokens: usize,
}

/// The next share of a chunk that has `budget` prompt tokens left. `stages` is in order of arrival. A waiting session
/// is chosen only where fewer than `max_running` sessions hold rows.
pub fn next_prefill(
    stages: impl Iterator<Item = Stage> + Clone,
    max_running: usize,
    budget: usize,
) -> Option<PrefillChunk> {
    let running = stages.clone().filter(|stage| matches!(stage, Stage::Prefill | Stage::Decode)).count();
    let session = stages.clone().position(|stage| stage == Stage::Prefill).or_else(|| {
        let mut stages = stages;
        if running < max_running { stages.position(|stage| stage == Stage::Waiting) } else { None }
    })?;
    (budget > 0).then_some(PrefillChunk { session, tokens: budget })
}

/// Chunks below this many tokens take no less time and say little about the device's pace: a fixed cost dominates them.
const SMALLEST_CHUNK: usize = 16;
/// A chunk before anything was measured.
const FIRST_CHUNK: usize = 32;
/// The share of the stall budget that a chunk aims at, so that a slower one than the last stays within it.
const AIM: f64 = 0.7;
/// How many of the newest pieces tell the pace.
const NEWEST: usize = 4;

/// How fast the device reads prompts, measured as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrefillPace {
    /// Seconds a token of the newest pieces, the newest first; 0 where there was none yet.
    seconds_per_token: [f64; NEWEST],
}

impl PrefillPace {
    /// How many prompt tokens the next chunk may have. Where no stream is running nobody is held up, and only
    /// [`EngineSettings::max_chunk`] bounds it, so that commands are seen between chunks.
    pub fn chunk_tokens(&self, settings: &EngineSettings, streams_running: bool) -> usize {
        let tokens = match streams_running {
            false => settings.max_chunk,
            true => self.tokens_within(settings, Duration::ZERO).unwrap_or(FIRST_CHUNK),
        };
        tokens.max(SMALLEST_CHUNK).min(settings.max_chunk.max(1))
    }

    /// How many of a chunk's tokens to read first where time bounds it: half of them, so that a device which has become
    /// slower than it was is noticed before the stall budget is spent.
    pub fn first_piece(settings: &EngineSettings, chunk: usize) -> usize {
        let is_worth_cutting = chunk < settings.max_chunk && chunk >= 2 * SMALLEST_CHUNK;
        if is_worth_cutting { chunk.div_ceil(2) } else { chunk }
    }

    /// How many of the `left` tokens of a chunk to read after its first piece took `spent`; 0 where too little time is left.
    pub fn second_piece(&self, settings: &EngineSettings, left: usize, spent: Duration) -> usize {
        let tokens = self.tokens_within(settings, spent).unwrap_or(0).min(left);
        if tokens < SMALLEST_CHUNK { 0 } else { tokens }
    }

    /// What can be read in what is left of the stall budget's share; none before anything was measured.
    fn tokens_within(&self, settings: &EngineSettings, spent: Duration) -> Option<usize> {
        let slowest = self.seconds_per_token.into_iter().fold(0.0, f64::max);
        let seconds = settings.max_stall.as_secs_f64() * AIM - spent.as_secs_f64();
        (slowest > 0.0).then_some((seconds / slowest) as usize)
    }

    /// Notes that a piece which was allowed `allowed` tokens read `tokens` in `elapsed`. Only the newest few count:
    /// attention makes chunks slower as a prompt goes on.
    pub fn record(&mut self, allowed: usize, tokens: usize, elapsed: Duration) {
        if tokens >= SMALLEST_CHUNK.min(allowed) && tokens > 0 {
            self.seconds_per_token.rotate_right(1);
            self.seconds_per_token[0] = elapsed.as_secs_f64().max(1e-6) / tokens as f64;
        }
    }
}
