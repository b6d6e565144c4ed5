//! Architecture `qwen2` (Qwen2 and Qwen2.5, 2024): a llama whose queries, keys and values have a bias.

use super::parts::{AttentionBiases, Parts};
use crate::model::ModelError;
use crate::model::layers::{Decoder, FeedForward};

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let biases = AttentionBiases { qkv: true, output: false };
    let layers = parts.layers(|parts, _, path| {
        let self_attn = parts.attention(&format!("{path}.self_attn"), biases)?;
        let mlp = parts.mlp(&format!("{path}.mlp"), false)?;
        parts.pre_norm_layer(path, self_attn, FeedForward::Dense(mlp))
    })?;
    parts.decoder(layers)
}
