//! Architecture `qwen3` (Qwen3, 2025): a llama that norms each query and key head.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder};
use super::attention::Attention;
use super::config::Config;
use super::decoder::{Decoder, PreNormLayer};
use super::mlp::Activation;
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let layers = layers(config, |path| {
        Ok(PreNormLayer {
            input_layernorm: weights.norm(config, &format!("{path}.input_layernorm"), config.hidden_size)?,
            self_attn: attention(config, weights, &format!("{path}.self_attn"))?,
            post_attention_layernorm: weights.norm(
                config,
                &format!("{path}.post_attention_layernorm"),
                config.hidden_size,
            )?,
            mlp: weights.mlp(config, &format!("{path}.mlp"), Activation::Silu, false)?,
        })
    })?;
    pre_norm_decoder(config, weights, layers)
}

/// Attention with `q_norm` and `k_norm`.
pub fn attention(config: &Config, weights: &mut Weights, path: &str) -> Result<Attention, ModelError> {
    let mut attention = weights.attention(config, path, AttentionBiases::default())?;
    attention.q_norm = Some(weights.norm(config, &format!("{path}.q_norm"), config.head_dim)?);
    attention.k_norm = Some(weights.norm(config, &format!("{path}.k_norm"), config.head_dim)?);
    Ok(attention)
}
