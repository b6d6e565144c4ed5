//! The table of architectures: config.json's `model_type`, and what builds it.

use super::parts::Parts;
use super::{gemma2, gemma3_text, granite, llama, mistral, olmo2, phi3, qwen2, qwen3, qwen3_moe, smollm3};
use crate::model::ModelError;
use crate::model::layers::Decoder;

/// Builds a model of one architecture from its parts.
pub type Build = fn(&mut Parts<'_>) -> Result<Decoder, ModelError>;

const ARCHITECTURES: &[(&str, Build)] = &[
    ("gemma2", gemma2::build),
    ("gemma3_text", gemma3_text::build),
    ("granite", granite::build),
    ("llama", llama::build),
    ("mistral", mistral::build),
    ("olmo2", olmo2::build),
    ("phi3", phi3::build),
    ("qwen2", qwen2::build),
    ("qwen3", qwen3::build),
    ("qwen3_moe", qwen3_moe::build),
    ("smollm3", smollm3::build),
];

/// What builds models of `model_type`.
pub fn find(model_type: &str) -> Result<Build, ModelError> {
    ARCHITECTURES.iter().find(|(name, _)| *name == model_type).map(|(_, build)| *build).ok_or_else(|| {
        let names: Vec<&str> = supported().collect();
        ModelError::unsupported("model_type", model_type, &names.join(", "))
    })
}

/// The names of all architectures.
pub fn supported() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|(name, _)| *name)
}
