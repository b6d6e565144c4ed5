//! Memory: what MLX says of its own, what the machine has, what a run will need.

use super::{ModelFacts, ParallelConfig};
use serde::{Deserialize, Serialize};

/// MLX's own figures, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigures {
    /// In use by arrays.
    pub active: u64,
    /// Held for reuse.
    pub cache: u64,
    /// The most that was active at once since the run (or the load) began.
    pub peak: u64,
}

/// Characters that a token stands for, roughly, in prompts that have not been tokenized yet.
const CHARACTERS_PER_TOKEN: usize = 4;

/// Tokens that a chat template and the system prompt add to a prompt, roughly.
const TEMPLATE_TOKENS: u64 = 48;

/// The machine's own memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineMemory {
    /// All of it.
    pub total: u64,
    /// What programs can still take.
    pub available: u64,
}

/// What a run will need, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPrediction {
    /// The weights; loaded already.
    pub weights: u64,
    /// The KV caches of all sessions, each full to its limit.
    pub kv_caches: u64,
    /// What there is for both.
    pub there: u64,
}

impl MemoryPrediction {
    /// What `config` will need over the loaded model, every session running to its token limit.
    pub fn of(config: &ParallelConfig, facts: &ModelFacts, machine: MachineMemory) -> Self {
        let tokens: u64 = (0..config.sessions)
            .map(|index| {
                let prompt = (config.prompt(index).len() / CHARACTERS_PER_TOKEN) as u64 + TEMPLATE_TOKENS;
                (prompt + u64::from(config.max_tokens)).min(u64::from(facts.context_length))
            })
            .sum();
        Self {
            weights: facts.weight_bytes,
            kv_caches: tokens.saturating_mul(facts.kv_bytes_per_token),
            // The weights are loaded, so what is available comes on top of them.
            there: machine.available.saturating_add(facts.weight_bytes),
        }
    }

    /// Weights and KV caches together.
    pub fn needed(&self) -> u64 {
        self.weights.saturating_add(self.kv_caches)
    }

    /// Whether it fits.
    pub fn fits(&self) -> bool {
        self.needed() <= self.there
    }

    /// Why the run is refused, with the numbers; none where it fits.
    pub fn refusal(&self, sessions: u32) -> Option<String> {
        (!self.fits()).then(|| {
            format!(
                "This run needs {} (weights {} + {sessions} KV caches {}), and {} are there. \
                 Choose fewer sessions or a lower token limit.",
                bytes(self.needed()),
                bytes(self.weights),
                bytes(self.kv_caches),
                bytes(self.there),
            )
        })
    }
}

/// Bytes for a person: "512 B", "20.0 MB", "812 MB", "1.2 GB" (units of 1,000).
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {}", UNITS[unit])
}
