//! Models as a person chooses among them: what the registry knows, what is on this machine, what a model's files say.

use super::{DeviceKind, ModelSource};
use serde::{Deserialize, Serialize};

/// Tokens of a session that memory figures count with, where nothing else is said.
pub const MEMORY_TOKENS: u64 = 4096;

/// A model of the registry, `assets/models.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryEntry {
    /// The hub id, or `starter`; [`ModelSource::parse`] reads it.
    pub id: String,
    /// The name that people know.
    pub name: String,
    /// Whose models these are, as "Qwen3".
    pub family: String,
    /// config.json's `model_type`.
    pub architecture: String,
    /// Weights counted as if they were not quantised.
    pub parameters: u64,
    /// Bits of a quantised weight.
    pub bits: u32,
    /// Bytes of the weights as they are stored.
    pub weight_bytes: u64,
    /// Bytes of all files that are downloaded.
    pub download_bytes: u64,
    /// Transformer layers.
    pub layers: u64,
    /// Heads of keys and values in a layer.
    pub kv_heads: u64,
    /// Elements of one head's key.
    pub head_dim: u64,
    /// The most tokens that prompt and answer may have together.
    pub context_length: u64,
    /// How its makers advise to sample; what a run uses where the person chose nothing else.
    pub sampling: SamplingDefaults,
    /// Tokens that end an answer although the model's own files don't say so.
    pub extra_stop_tokens: Vec<String>,
    /// Whether it can think before it answers.
    pub can_think: bool,
}

/// How a model's makers advise to sample; none where they say nothing. See [`super::Sampling::new`] for the ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SamplingDefaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
}

impl SamplingDefaults {
    /// "temperature 0.6, top-p 0.95, top-k 20"; none where nothing is advised.
    pub fn words(&self) -> Option<String> {
        let word = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let number = |value: Option<f32>| value.map(|value| value.to_string());
        let words = [
            word("temperature", number(self.temperature)),
            word("top-p", number(self.top_p)),
            word("top-k", self.top_k.map(|k| k.to_string())),
            word("min-p", number(self.min_p)),
            word("repetition penalty", number(self.repetition_penalty)),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl RegistryEntry {
    /// Where it comes from.
    pub fn source(&self) -> ModelSource {
        ModelSource::parse(&self.id)
    }

    /// What memory it takes.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            parameters: self.parameters,
            weight_bytes: self.weight_bytes,
            kv_elements_per_token: 2 * self.layers * self.kv_heads * self.head_dim,
            context_length: self.context_length,
        }
    }
}

/// What a model's memory depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Weights counted as if they were not quantised.
    pub parameters: u64,
    /// Bytes of the weights as they are stored.
    pub weight_bytes: u64,
    /// Elements that one token adds to a session's KV cache.
    pub kv_elements_per_token: u64,
    /// The most tokens of a session.
    pub context_length: u64,
}

impl Footprint {
    /// Bytes that `sessions` sessions of `tokens` tokens take together with the weights.
    ///
    /// On a GPU the weights stay as they are stored and keys and values have 16 bits; on a CPU all are f32.
    pub fn bytes(&self, sessions: u64, tokens: u64, device: DeviceKind) -> u64 {
        let (weights, element) = match device {
            DeviceKind::Gpu => (self.weight_bytes, 2),
            DeviceKind::Cpu => (self.parameters * 4, 4),
        };
        weights + sessions * tokens.min(self.context_length) * self.kv_elements_per_token * element
    }
}

/// How much of a model is on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OnDisk {
    /// Nothing.
    No,
    /// A download of it was stopped.
    Partly {
        /// Bytes that are here.
        bytes: u64,
    },
    /// All of it.
    Whole {
        /// Bytes that it takes.
        bytes: u64,
    },
}

/// A model that a person can choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedModel {
    /// Where it comes from.
    pub source: ModelSource,
    /// The name shown to people.
    pub name: String,
    /// What the registry knows of it; none for other models that are on this machine.
    pub entry: Option<RegistryEntry>,
    /// How much of it is here.
    pub on_disk: OnDisk,
    /// Weights counted as if they were not quantised; none where that is not known.
    pub parameters: Option<u64>,
    /// Bytes that it takes with 1 and with 8 sessions of [`MEMORY_TOKENS`] tokens; none where that is not known.
    pub memory_bytes: Option<[u64; 2]>,
    /// Whether one session of [`MEMORY_TOKENS`] tokens fits this machine's memory; none where that is not known.
    pub fits: Option<bool>,
}

impl ListedModel {
    /// Whether every word of `query` is part of its name, family or id, in any case.
    pub fn matches(&self, query: &str) -> bool {
        let family = self.entry.as_ref().map_or("", |entry| entry.family.as_str());
        let text = format!("{} {} {family}", self.name, self.source).to_lowercase();
        query.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// What a model's configuration and headers say, weights unread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// config.json's `model_type`.
    pub architecture: String,
    /// As "4 bits, groups of 64" or "BF16".
    pub quantization: String,
    /// Whether the files hold a chat template.
    pub has_chat_template: bool,
    /// Whether that has a thinking switch.
    pub can_think: bool,
    /// What its memory depends on.
    pub footprint: Footprint,
    /// config.json itself; null for a GGUF file.
    #[serde(skip)]
    pub config: serde_json::Value,
}
