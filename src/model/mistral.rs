//! Architecture `mistral` (Jiang et al. 2023): a llama without biases, in its first version with a sliding window.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder};
use super::config::Config;
use super::decoder::Decoder;
use super::llama;
use super::weights::Weights;
use serde_json::Value;

/// Takes the model's weights. All layers see `sliding_window` tokens, which mlx-lm leaves out.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let window = match config.fields.get("sliding_window") {
        Value::Null => None,
        _ => Some(config.fields.size("sliding_window", None)?),
    };
    let layers = layers(config, |_, path| {
        let mut layer = llama::layer(config, weights, path)?;
        layer.self_attn.settings.window = window;
        Ok(layer)
    })?;
    pre_norm_decoder(config, weights, layers)
}
