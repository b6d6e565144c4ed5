//! How fast tokens came lately: counts in short stretches of time, for the small curves.

use std::collections::VecDeque;

/// Seconds that one point of a curve stands for.
pub const BUCKET_SECONDS: f64 = 0.5;

/// The most points that a curve keeps.
pub const BUCKETS: usize = 40;

/// Tokens counted in stretches of [`BUCKET_SECONDS`], the last [`BUCKETS`] of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateCurve {
    /// The number of the newest stretch, counted from the run's begin.
    newest: u64,
    counts: VecDeque<u32>,
}

impl RateCurve {
    /// Notes that `tokens` came at `at_s`, in seconds from the run's begin.
    pub fn add(&mut self, at_s: f64, tokens: u32) {
        self.advance(at_s);
        if let Some(count) = self.counts.back_mut() {
            *count += tokens;
        }
    }

    /// Moves on to `at_s`, so that a pause shows as zeros.
    pub fn advance(&mut self, at_s: f64) {
        let bucket = (at_s.max(0.0) / BUCKET_SECONDS) as u64;
        if self.counts.is_empty() {
            self.newest = bucket;
            self.counts.push_back(0);
        }
        let pause = bucket.saturating_sub(self.newest).min(BUCKETS as u64);
        for _ in 0..pause {
            self.counts.push_back(0);
        }
        while self.counts.len() > BUCKETS {
            self.counts.pop_front();
        }
        self.newest = self.newest.max(bucket);
    }

    /// Tokens per second of each stretch, oldest first; the newest is still filling and left out.
    pub fn rates(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        let complete = self.counts.len().saturating_sub(1);
        self.counts.iter().take(complete).map(|count| *count as f32 / BUCKET_SECONDS as f32)
    }
}
