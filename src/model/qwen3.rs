//! Architecture `qwen3` (Qwen3, 2025): a llama that norms each query and key head.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder, pre_norm_layer};
use super::attention::{Attention, HeadNorm};
use super::config::Config;
use super::decoder::{Decoder, FeedForward};
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let layers = layers(config, |_, path| {
        let self_attn = attention(config, weights, &format!("{path}.self_attn"))?;
        let mlp = weights.mlp(config, &format!("{path}.mlp"), false)?;
        pre_norm_layer(config, weights, path, self_attn, FeedForward::Dense(mlp))
    })?;
    pre_norm_decoder(config, weights, layers)
}

/// Attention with `q_norm` and `k_norm`.
pub fn attention(config: &Config, weights: &mut Weights, path: &str) -> Result<Attention, ModelError> {
    let mut attention = weights.attention(config, path, AttentionBiases::default())?;
    let mut norm = |name: &str| weights.norm(config, &format!("{path}.{name}"), config.head_dim);
    attention.q_norm = Some(HeadNorm::EachHead(norm("q_norm")?));
    attention.k_norm = Some(HeadNorm::EachHead(norm("k_norm")?));
    Ok(attention)
}
