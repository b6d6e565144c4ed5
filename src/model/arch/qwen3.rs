//! Architecture `qwen3` (Qwen3, 2025): a llama that norms each query and key head.

use super::parts::Parts;
use crate::model::ModelError;
use crate::model::layers::{Decoder, FeedForward};

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let layers = parts.layers(|parts, _, path| {
        let self_attn = parts.attention_with_head_norms(&format!("{path}.self_attn"))?;
        let mlp = parts.mlp(&format!("{path}.mlp"), false)?;
        parts.pre_norm_layer(path, self_attn, FeedForward::Dense(mlp))
    })?;
    parts.decoder(layers)
}
