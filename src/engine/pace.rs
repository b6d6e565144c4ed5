//! How much of prompts may be read between two decode steps, by how fast the device was so far.

use super::settings::EngineSettings;
use std::time::Duration;

/// Chunks below this many tokens take no less time and say little about the device's pace: a fixed cost dominates them.
const SMALLEST_CHUNK: usize = 16;
/// A chunk before anything was measured.
const FIRST_CHUNK: usize = 32;
/// The share of the stall budget that a chunk aims at, so that a slower one than the last stays within it.
const AIM: f64 = 0.7;
/// How many of the newest passes tell the pace.
const NEWEST: usize = 4;

/// What may be read before the next decode step, and which rule says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// No stream is held up yet: the first step waits for so many tokens more, so that sessions which start together,
    /// and are submitted one after the other, take it together.
    Opening {
        /// Tokens.
        left: usize,
    },
    /// The first piece of a chunk that holds streams up: half of the chunk where time bounds it, so that a device which has
    /// become slower than it was is noticed before the stall budget is spent.
    FirstPiece {
        /// Tokens of this piece.
        left: usize,
        /// Tokens of the chunk behind it.
        rest: usize,
        /// What the piece has taken so far.
        spent: Duration,
    },
    /// The second piece, sized by what the first one has left of the time.
    SecondPiece {
        /// Tokens.
        left: usize,
    },
}

impl Budget {
    /// How many tokens the next pass may read.
    pub fn left(&self) -> usize {
        match *self {
            Self::Opening { left } | Self::FirstPiece { left, .. } | Self::SecondPiece { left } => left,
        }
    }
}

/// How fast the device reads prompts, measured as it goes, and what was read since the last decode step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Seconds a token of the newest passes, the newest first; 0 where there was none yet.
    seconds_per_token: [f64; NEWEST],
    /// What is left of the budget that was begun; none right after a step.
    begun: Option<Budget>,
}

impl Pace {
    /// What may be read now. Where no stream is running nobody is held up, and only [`EngineSettings::max_chunk`] bounds
    /// it, so that commands are seen between chunks.
    pub fn budget(&self, settings: &EngineSettings, streams_run: bool) -> Budget {
        match (streams_run, self.begun) {
            (true, Some(begun)) => begun,
            (true, None) => self.chunk(settings),
            (false, Some(begun @ Budget::Opening { left: 1.. })) => begun,
            (false, _) => Budget::Opening { left: settings.max_chunk.max(1) },
        }
    }

    /// Notes that a pass which was planned with `budget` read `tokens` in `elapsed`.
    pub fn has_read(&mut self, settings: &EngineSettings, budget: Budget, tokens: usize, elapsed: Duration) {
        self.measure(budget.left(), tokens, elapsed);
        let left = budget.left().saturating_sub(tokens);
        self.begun = Some(match budget {
            Budget::Opening { .. } => Budget::Opening { left },
            Budget::FirstPiece { rest, spent, .. } if left == 0 => {
                Budget::SecondPiece { left: self.second_piece(settings, rest, spent + elapsed) }
            }
            Budget::FirstPiece { rest, spent, .. } => Budget::FirstPiece { left, rest, spent: spent + elapsed },
            Budget::SecondPiece { .. } => Budget::SecondPiece { left },
        });
    }

    /// Notes that a decode step was launched: what was read before it counts no more.
    pub fn has_stepped(&mut self) {
        self.begun = None;
    }

    /// A new chunk.
    fn chunk(&self, settings: &EngineSettings) -> Budget {
        let largest = settings.max_chunk.max(1);
        let within = self.tokens_within(settings, Duration::ZERO).unwrap_or(FIRST_CHUNK);
        let chunk = within.max(SMALLEST_CHUNK).min(largest);
        let is_worth_cutting = chunk < largest && chunk >= 2 * SMALLEST_CHUNK;
        let left = if is_worth_cutting { chunk.div_ceil(2) } else { chunk };
        Budget::FirstPiece { left, rest: chunk - left, spent: Duration::ZERO }
    }

    /// How many of the `rest` tokens of a chunk to read after its first piece took `spent`; 0 where too little time is
    /// left.
    fn second_piece(&self, settings: &EngineSettings, rest: usize, spent: Duration) -> usize {
        let tokens = self.tokens_within(settings, spent).unwrap_or(0).min(rest);
        if tokens < SMALLEST_CHUNK { 0 } else { tokens }
    }

    /// What can be read in what is left of the stall budget's share; none before anything was measured.
    fn tokens_within(&self, settings: &EngineSettings, spent: Duration) -> Option<usize> {
        let slowest = self.seconds_per_token.into_iter().fold(0.0, f64::max);
        let seconds = settings.max_stall.as_secs_f64() * AIM - spent.as_secs_f64();
        (slowest > 0.0).then_some((seconds / slowest) as usize)
    }

    /// Takes in how long a pass over `tokens` took that was allowed `allowed`. Only the newest few count: attention makes
    /// chunks slower as a prompt goes on.
    fn measure(&mut self, allowed: usize, tokens: usize, elapsed: Duration) {
        if tokens >= SMALLEST_CHUNK.min(allowed) && tokens > 0 {
            self.seconds_per_token.rotate_right(1);
            self.seconds_per_token[0] = elapsed.as_secs_f64().max(1e-6) / tokens as f64;
        }
    }
}
