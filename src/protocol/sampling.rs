//! How a session chooses each token: settings that can only hold legal values.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far apart the default seeds of neighbouring sessions are.
const SEED_STRIDE: u64 = 1000;

/// The seed of session `index` in a run whose base seed is `base`: `base + index × 1000`.
pub fn session_seed(base: u64, index: u32) -> u64 {
    base.wrapping_add(u64::from(index) * SEED_STRIDE)
}

/// How one session samples. Build it with [`Sampling::new`], which refuses what makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    strategy: Strategy,
    repetition_penalty: f32,
    seed: u64,
}

/// The choice among the tokens' probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Always the most likely token (temperature 0).
    Greedy,
    /// Draw a token at random.
    Random {
        /// Above 0.
        temperature: f32,
        /// Smallest set of tokens whose probabilities reach this sum; 1 keeps all.
        top_p: f32,
        /// The k most likely tokens; 0 keeps all.
        top_k: u32,
        /// Tokens at least this likely, as a share of the most likely one's probability; 0 keeps all.
        min_p: f32,
    },
}

/// A sampling setting outside of its range, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSampling(String);

impl fmt::Display for InvalidSampling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSampling {}

impl Sampling {
    /// Greedy sampling: no randomness, no penalty.
    pub fn greedy() -> Self {
        Self { strategy: Strategy::Greedy, repetition_penalty: 1.0, seed: 0 }
    }

    /// Checks the settings. `temperature` in 0..=10 (0 is greedy), `top_p` in (0, 1], `min_p` in [0, 1),
    /// `repetition_penalty` in (0, 10] (1 is none).
    pub fn new(
        temperature: f32,
        top_p: f32,
        top_k: u32,
        min_p: f32,
        repetition_penalty: f32,
        seed: u64,
    ) -> Result<Self, InvalidSampling> {
        check("temperature", temperature, "from 0 to 10", (0.0..=10.0).contains(&temperature))?;
        check("top-p", top_p, "above 0 and at most 1", top_p > 0.0 && top_p <= 1.0)?;
        check("min-p", min_p, "from 0 to below 1", (0.0..1.0).contains(&min_p))?;
        check(
            "repetition penalty",
            repetition_penalty,
            "above 0 and at most 10",
            repetition_penalty > 0.0 && repetition_penalty <= 10.0,
        )?;
        let strategy =
            if temperature == 0.0 { Strategy::Greedy } else { Strategy::Random { temperature, top_p, top_k, min_p } };
        Ok(Self { strategy, repetition_penalty, seed })
    }

    /// The choice among the probabilities.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// 0 where greedy.
    pub fn temperature(&self) -> f32 {
        match self.strategy {
            Strategy::Greedy => 0.0,
            Strategy::Random { temperature, .. } => temperature,
        }
    }

    /// Above 1 makes tokens that came already less likely; 1 changes nothing.
    pub fn repetition_penalty(&self) -> f32 {
        self.repetition_penalty
    }

    /// Where the session's own random numbers begin.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

fn check(name: &str, value: f32, range: &str, inside: bool) -> Result<(), InvalidSampling> {
    if inside { Ok(()) } else { Err(InvalidSampling(format!("{name} must be {range}, not {value}"))) }
}
