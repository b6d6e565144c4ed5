//! Architecture `smollm3` (SmolLM3, 2025): a llama some of whose layers have no positions (NoPE).

use super::llama;
use super::parts::Parts;
use crate::model::ModelError;
use crate::model::layers::Decoder;
use serde_json::Value;

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let config = parts.config;
    let interval = config.fields.size("no_rope_layer_interval", Some(4))? as usize;
    let has_positions: Vec<bool> = match config.fields.get("no_rope_layers") {
        Value::Array(list) => list.iter().map(|flag| flag.as_i64() != Some(0)).collect(),
        _ => (1..=config.num_hidden_layers).map(|number| number % interval != 0).collect(),
    };
    if has_positions.len() != config.num_hidden_layers {
        return Err(config.fields.problem("no_rope_layers must have one entry for each layer").into());
    }
    let layers = parts.layers(|parts, index, path| {
        let mut layer = llama::layer(parts, path)?;
        if !has_positions[index] {
            layer.self_attn.rotation = None;
        }
        Ok(layer)
    })?;
    parts.decoder(layers)
}
