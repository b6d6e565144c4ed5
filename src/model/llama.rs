//! Architecture `llama` (Touvron et al. 2023; Llama 3 herd 2024), also SmolLM2 and others of its shape.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder, pre_norm_layer};
use super::config::Config;
use super::decoder::{Decoder, FeedForward, PreNormLayer};
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let layers = layers(config, |_, path| layer(config, weights, path))?;
    pre_norm_decoder(config, weights, layers)
}

/// The layer at `path`, with the biases that config.json asks for.
pub fn layer(config: &Config, weights: &mut Weights, path: &str) -> Result<PreNormLayer, ModelError> {
    let bias = config.fields.flag("attention_bias", false)?;
    let biases = AttentionBiases { qkv: bias, output: bias };
    let self_attn = weights.attention(config, &format!("{path}.self_attn"), biases)?;
    let mlp = weights.mlp(config, &format!("{path}.mlp"), config.fields.flag("mlp_bias", false)?)?;
    pre_norm_layer(config, weights, path, self_attn, FeedForward::Dense(mlp))
}
