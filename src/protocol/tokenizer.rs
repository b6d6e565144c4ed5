//! A GGUF file's tokenizer as its metadata has it: `hub` reads it, `text` builds a tokenizer from it.

use serde::{Deserialize, Serialize};

/// The values under `tokenizer.*` of one GGUF file, unchanged, and its architecture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GgufTokenizer {
    /// `general.architecture`: some families' files need a treatment of their own.
    pub architecture: String,
    /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    pub model: String,
    /// `tokenizer.ggml.pre`: which rule splits text before BPE.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`, one a token id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.merges`, best first, each two tokens with a space between.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.scores`, one a token id; only SentencePiece models need them.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`, one a token id: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: ends a turn.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`: ends a message that calls a tool.
    pub eom: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub padding: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
    /// `tokenizer.chat_template.NAME`, by name.
    pub named_chat_templates: Vec<(String, String)>,
}
