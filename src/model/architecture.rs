//! Which architectures there are, and what their files share.

use super::ModelError;
use super::attention::Attention;
use super::config::{Config, unsupported};
use super::decoder::{Decoder, FeedForward, Layer, PreNormLayer};
use super::kv::KvShape;
use super::weights::Weights;
use super::{gemma2, gemma3_text, granite, llama, mistral, olmo2, phi3, qwen2, qwen3, qwen3_moe, smollm3};
use std::cell::OnceCell;

/// Builds a model of one architecture from its weights.
pub type Build = fn(&Config, &mut Weights) -> Result<Decoder, ModelError>;

/// config.json's `model_type`, and what builds it.
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
        unsupported("model_type", model_type, &names.join(", "))
    })
}

/// The names of all architectures.
pub fn supported() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|(name, _)| *name)
}

/// Builds each layer from its number and its path in the checkpoint.
pub fn layers<L: Layer + 'static>(
    config: &Config,
    mut layer: impl FnMut(usize, &str) -> Result<L, ModelError>,
) -> Result<Vec<Box<dyn Layer>>, ModelError> {
    (0..config.num_hidden_layers)
        .map(|index| Ok(Box::new(layer(index, &format!("model.layers.{index}"))?) as Box<dyn Layer>))
        .collect()
}

/// The usual layer at `path`, around its attention and MLP.
pub fn pre_norm_layer(
    config: &Config,
    weights: &mut Weights,
    path: &str,
    self_attn: Attention,
    mlp: FeedForward,
) -> Result<PreNormLayer, ModelError> {
    Ok(PreNormLayer {
        input_layernorm: weights.norm(config, &format!("{path}.input_layernorm"), config.hidden_size)?,
        self_attn,
        post_attention_layernorm: weights.norm(
            config,
            &format!("{path}.post_attention_layernorm"),
            config.hidden_size,
        )?,
        mlp,
        residual_multiplier: None,
        kernels: OnceCell::new(),
    })
}

/// The parts around the layers, as most architectures have them.
pub fn pre_norm_decoder(
    config: &Config,
    weights: &mut Weights,
    layers: Vec<Box<dyn Layer>>,
) -> Result<Decoder, ModelError> {
    let embed_tokens = weights.matrix(config, "model.embed_tokens", config.vocab_size, config.hidden_size)?;
    let is_tied = config.tie_word_embeddings.unwrap_or(!weights.has("lm_head.weight"));
    let lm_head = match is_tied {
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
        starts_early: weights.are_unpacked(),
        kernels: OnceCell::new(),
    })
}
