//! Architecture `mistral` (Jiang et al. 2023): a llama without biases, in its first version with a sliding window.

use super::llama;
use super::parts::Parts;
use crate::model::ModelError;
use crate::model::layers::Decoder;

/// Takes the model's weights. All layers see `sliding_window` tokens, which mlx-lm leaves out.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let window = parts.config.fields.optional_size("sliding_window")?;
    let layers = parts.layers(|parts, _, path| {
        let mut layer = llama::layer(parts, path)?;
        layer.self_attn.settings.window = window;
        Ok(layer)
    })?;
    parts.decoder(layers)
}
