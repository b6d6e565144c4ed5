//! Architecture `llama` (Touvron et al. 2023; Llama 3 herd 2024), also SmolLM2 and others of its shape.

use super::parts::{AttentionBiases, Parts};
use crate::model::ModelError;
use crate::model::layers::{Decoder, FeedForward, PreNormLayer};

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let layers = parts.layers(|parts, _, path| layer(parts, path))?;
    parts.decoder(layers)
}

/// The layer at `path`, with the biases that config.json asks for.
pub fn layer(parts: &mut Parts<'_>, path: &str) -> Result<PreNormLayer, ModelError> {
    let fields = &parts.config.fields;
    let bias = fields.flag("attention_bias", false)?;
    let self_attn = parts.attention(&format!("{path}.self_attn"), AttentionBiases { qkv: bias, output: bias })?;
    let mlp = parts.mlp(&format!("{path}.mlp"), fields.flag("mlp_bias", false)?)?;
    parts.pre_norm_layer(path, self_attn, FeedForward::Dense(mlp))
}
