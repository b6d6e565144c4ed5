//! Memory: what MLX says of its own, what the machine has, what a run will need.

use super::{DeviceKind, Footprint, MEMORY_TOKENS, ModelFacts, ParallelConfig, bytes};
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

/// What is spoken for besides what is asked about, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldMemory {
    /// The weights of other loaded models.
    pub weights: u64,
    /// The KV caches of runs that are on, each full to its limit.
    pub kv_caches: u64,
    /// How much of these caches is filled already, as far as that is known.
    pub filled: u64,
}

/// What a run or a load will need, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPrediction {
    /// The model's weights.
    pub weights: u64,
    /// The KV caches of all sessions, each full to its limit.
    pub kv_caches: u64,
    /// What other loaded models and runs that are on take.
    pub held: u64,
    /// What there is for all of it.
    pub there: u64,
}

impl MemoryPrediction {
    /// What `config` will need over a loaded model, every session running to its token limit. Other models are left out;
    /// [`MemoryPrediction::beside`] counts them.
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
            held: 0,
            // The weights are loaded, so what is available comes on top of them.
            there: machine.available.saturating_add(facts.weight_bytes),
        }
    }

    /// What a model that is not loaded yet will need, with one session of [`MEMORY_TOKENS`] tokens.
    pub fn of_load(footprint: &Footprint, device: DeviceKind, machine: MachineMemory) -> Self {
        let weights = footprint.bytes(0, 0, device);
        let whole = footprint.bytes(1, MEMORY_TOKENS, device);
        Self { weights, kv_caches: whole - weights, held: 0, there: machine.available }
    }

    /// The same with other models and runs beside it.
    pub fn beside(self, held: HeldMemory) -> Self {
        let HeldMemory { weights, kv_caches, filled } = held;
        Self {
            held: self.held.saturating_add(weights).saturating_add(kv_caches),
            // What is loaded or filled already is no part of what is available.
            there: self.there.saturating_add(weights).saturating_add(filled.min(kv_caches)),
            ..self
        }
    }

    /// Weights, KV caches and what others take together.
    pub fn needed(&self) -> u64 {
        self.weights.saturating_add(self.kv_caches).saturating_add(self.held)
    }

    /// Whether it fits.
    pub fn fits(&self) -> bool {
        self.needed() <= self.there
    }

    /// Why a run of so many sessions is refused, with the numbers; none where it fits.
    pub fn refusal(&self, sessions: u32) -> Option<String> {
        let remedy = if self.held > 0 { ", or wait for the other runs or unload another model" } else { "" };
        (!self.fits()).then(|| {
            format!(
                "This run needs {} (weights {} + {sessions} KV caches {}{}), and {} are there. \
                 Choose fewer sessions or a lower token limit{remedy}.",
                bytes(self.needed()),
                bytes(self.weights),
                bytes(self.kv_caches),
                self.held_words(),
                bytes(self.there),
            )
        })
    }

    /// Why the load of `model` is refused, with the numbers; none where it fits.
    pub fn load_refusal(&self, model: &str) -> Option<String> {
        let remedy = if self.held > 0 { "Unload another model first" } else { "Choose a smaller model" };
        (!self.fits()).then(|| {
            format!(
                "{model} needs {} (weights {} + one KV cache {}{}), and {} are there. {remedy}.",
                bytes(self.needed()),
                bytes(self.weights),
                bytes(self.kv_caches),
                self.held_words(),
                bytes(self.there),
            )
        })
    }

    fn held_words(&self) -> String {
        if self.held > 0 { format!(" + other models and runs {}", bytes(self.held)) } else { String::new() }
    }
}
