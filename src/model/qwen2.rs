//! Architecture `qwen2` (Qwen2 and Qwen2.5, 2024): a llama whose queries, keys and values have a bias.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder, pre_norm_layer};
use super::config::Config;
use super::decoder::{Decoder, FeedForward};
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let biases = AttentionBiases { qkv: true, output: false };
    let layers = layers(config, |_, path| {
        let self_attn = weights.attention(config, &format!("{path}.self_attn"), biases)?;
        let mlp = weights.mlp(config, &format!("{path}.mlp"), false)?;
        pre_norm_layer(config, weights, path, self_attn, FeedForward::Dense(mlp))
    })?;
    pre_norm_decoder(config, weights, layers)
}
