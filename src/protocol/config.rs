//! The settings of a parallel run; everything that is needed to run it again.

use super::{Execution, InvalidSampling, ModelSource, Sampling, SamplingDefaults, session_seed};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The settings of a parallel run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParallelConfig {
    /// How many sessions; 1 to [`ParallelConfig::MAX_SESSIONS`].
    pub sessions: u32,
    /// Which model.
    pub model: ModelSource,
    /// The prompts; where there are fewer than sessions they repeat in order.
    pub prompts: Vec<String>,
    /// The system prompt; none leaves the choice to the chat template.
    pub system: Option<String>,
    /// The most tokens of each session's answer.
    pub max_tokens: u32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Session i samples with `temperatures[i]` instead, where given: a ladder over the sessions.
    pub temperatures: Option<Vec<f32>>,
    /// See [`Sampling::new`].
    pub top_p: f32,
    /// See [`Sampling::new`].
    pub top_k: u32,
    /// See [`Sampling::new`].
    pub min_p: f32,
    /// See [`Sampling::new`].
    pub repetition_penalty: f32,
    /// Session i's seed is this + i × 1000.
    pub seed: u64,
    /// Text that ends a session and is never shown.
    pub stop: Vec<String>,
    /// How decode steps share the device.
    pub execution: Execution,
    /// The most bytes that MLX keeps for reuse, in MB of 1,000,000 bytes: for those who load a model for this run. A run
    /// over a loaded model leaves the limit as it is.
    pub cache_limit_mb: u64,
    /// Skips the chat template.
    pub raw: bool,
    /// The chat template's thinking switch, where it has one.
    pub thinking: bool,
}

impl ParallelConfig {
    /// The most sessions of one run.
    pub const MAX_SESSIONS: u32 = 1024;

    /// The demo's prompts.
    pub const DEFAULT_PROMPTS: [&'static str; 3] = [
        "Write a short poem about machine learning",
        "Explain the concept of neural networks simply",
        "What are the key differences between AI and machine learning?",
    ];

    /// The prompt of session `index`.
    pub fn prompt(&self, index: u32) -> &str {
        match self.prompts.len() {
            0 => Self::DEFAULT_PROMPTS[index as usize % Self::DEFAULT_PROMPTS.len()],
            count => &self.prompts[index as usize % count],
        }
    }

    /// [`ParallelConfig::cache_limit_mb`] in bytes.
    pub fn cache_limit(&self) -> u64 {
        self.cache_limit_mb.saturating_mul(1_000_000)
    }

    /// The temperature of session `index`.
    pub fn temperature_of(&self, index: u32) -> f32 {
        let ladder = self.temperatures.as_ref().and_then(|ladder| ladder.get(index as usize));
        ladder.copied().unwrap_or(self.temperature)
    }

    /// The same run, sampling as `chosen` says; what that leaves open stays.
    pub fn sampled(self, chosen: SamplingDefaults) -> Self {
        Self {
            temperature: chosen.temperature.unwrap_or(self.temperature),
            top_p: chosen.top_p.unwrap_or(self.top_p),
            top_k: chosen.top_k.unwrap_or(self.top_k),
            min_p: chosen.min_p.unwrap_or(self.min_p),
            repetition_penalty: chosen.repetition_penalty.unwrap_or(self.repetition_penalty),
            ..self
        }
    }

    /// How session `index` samples.
    pub fn sampling(&self, index: u32) -> Result<Sampling, InvalidSampling> {
        Sampling::new(
            self.temperature_of(index),
            self.top_p,
            self.top_k,
            self.min_p,
            self.repetition_penalty,
            session_seed(self.seed, index),
        )
    }

    /// Refuses settings that no run can have.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        if self.sessions == 0 {
            return Err(InvalidConfig("a run needs at least 1 session".into()));
        }
        if self.sessions > Self::MAX_SESSIONS {
            return Err(InvalidConfig(format!(
                "a run has at most {} sessions, not {}",
                Self::MAX_SESSIONS,
                self.sessions
            )));
        }
        if self.max_tokens == 0 {
            return Err(InvalidConfig("max tokens must be at least 1".into()));
        }
        if let Some(blank) = self.prompts.iter().position(|prompt| prompt.trim().is_empty()) {
            return Err(InvalidConfig(format!("prompt {} is empty; write something to answer", blank + 1)));
        }
        for index in 0..self.sessions {
            self.sampling(index).map_err(|invalid| InvalidConfig(invalid.to_string()))?;
        }
        Ok(())
    }
}

impl Default for ParallelConfig {
    fn default() -> Self {
        Self {
            sessions: 3,
            model: ModelSource::Starter,
            prompts: Vec::new(),
            system: None,
            max_tokens: 100,
            temperature: 0.7,
            temperatures: None,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
            stop: Vec::new(),
            execution: Execution::default(),
            cache_limit_mb: 20,
            raw: false,
            thinking: false,
        }
    }
}

/// A setting outside of its range, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig(pub String);

impl fmt::Display for InvalidConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidConfig {}
