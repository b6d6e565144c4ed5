//! Who joins when and leaves when, in one round of a verification: random, and the same for the same seed.

/// One session's part in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// It joins once the round's sessions have given this many tokens together.
    pub joins_after: u64,
    /// The most tokens it gives; fewer than the run's where it leaves early.
    pub max_tokens: u32,
    /// It is cancelled after this many tokens of its own.
    pub cancels_after: Option<u32>,
    /// The run's own limit.
    whole: u32,
}

impl Part {
    /// Whether the session may give fewer tokens than it would alone.
    pub fn ends_early(&self) -> bool {
        self.max_tokens < self.whole || self.cancels_after.is_some()
    }
}

/// The parts of a round. Session 0 begins it; about half of the others join late, a quarter leave early, a quarter are
/// cancelled.
pub fn schedule(seed: u64, round: u32, sessions: u32, max_tokens: u32) -> Vec<Part> {
    let mut random = SplitMix(seed ^ (u64::from(round) << 32));
    let all_tokens = u64::from(sessions) * u64::from(max_tokens);
    let part = |index| {
        let joins_late = index > 0 && random.below(2) == 0;
        let joins_after = if joins_late { 1 + random.below(all_tokens.div_ceil(2)) } else { 0 };
        let some_tokens = 1 + random.below(u64::from(max_tokens)) as u32;
        let (own_limit, cancels_after) = match random.below(4) {
            0 => (some_tokens, None),
            1 => (max_tokens, Some(some_tokens)),
            _ => (max_tokens, None),
        };
        Part { joins_after, max_tokens: own_limit, cancels_after, whole: max_tokens }
    };
    (0..sessions).map(part).collect()
}

/// Steele, Lea and Flood's SplitMix64: enough for a schedule.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % limit.max(1)
    }
}
