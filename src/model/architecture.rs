//! Which architectures there are, and what their files share.

use super::ModelError;
use super::config::{Config, unsupported};
use super::decoder::{Decoder, Layer};
use super::kv::KvShape;
use super::weights::Weights;
use super::{llama, mistral, qwen2, qwen3};

/// Builds a model of one architecture from its weights.
pub type Build = fn(&Config, &mut Weights) -> Result<Decoder, ModelError>;

/// config.json's `model_type`, and what builds it.
const ARCHITECTURES: &[(&str, Build)] =
    &[("llama", llama::build), ("mistral", mistral::build), ("qwen2", qwen2::build), ("qwen3", qwen3::build)];

/// What builds models of `model_type`.
pub fn find(model_type: &str) -> Result<Build, ModelError> {
    ARCHITECTURES.iter().find(|(name, _)| *name == model_type).map(|(_, build)| *build).ok_or_else(|| {
        let names: Vec<&str> = supported().collect();
        unsupported("model_type", model_type, &names.join(", "))
    })
}

/// The names of all architectures.
pub fn supported() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|(name, _)| *name)
}

/// Builds each layer from its path in the checkpoint.
pub fn layers<L: Layer + 'static>(
    config: &Config,
    mut layer: impl FnMut(&str) -> Result<L, ModelError>,
) -> Result<Vec<Box<dyn Layer>>, ModelError> {
    (0..config.num_hidden_layers)
        .map(|index| Ok(Box::new(layer(&format!("model.layers.{index}"))?) as Box<dyn Layer>))
        .collect()
}

/// The parts around the layers, as most architectures have them.
pub fn pre_norm_decoder(
    config: &Config,
    weights: &mut Weights,
    layers: Vec<Box<dyn Layer>>,
) -> Result<Decoder, ModelError> {
    let embed_tokens = weights.matrix(config, "model.embed_tokens", config.vocab_size, config.hidden_size)?;
    let lm_head = match config.tie_word_embeddings {
        true => None,
        false => Some(weights.matrix(config, "lm_head", config.vocab_size, config.hidden_size)?),
    };
    let norm = weights.norm(config, "model.norm", config.hidden_size)?;
    Ok(Decoder {
        embed_tokens,
        embedding_scale: None,
        lm_head,
        logits_scale: None,
        logits_softcap: None,
        kv_shape: KvShape {
            layers: layers.len(),
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            dtype: norm.array().dtype(),
        },
        norm,
        layers,
    })
}
