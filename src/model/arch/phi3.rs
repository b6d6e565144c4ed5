//! Architecture `phi3` (Phi-3, Phi-3.5 and Phi-4-mini, 2024): a llama whose projections come fused.

use super::parts::Parts;
use super::rope;
use crate::model::ModelError;
use crate::model::kernels::Rotation;
use crate::model::layers::{Attention, Decoder, FeedForward, Mlp, Projections};

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let config = parts.config;
    let window = config.fields.optional_size("sliding_window")?;
    let rotated = config.fields.number("partial_rotary_factor", Some(1.0))? * config.head_dim as f32;
    let layers = parts.layers(|parts, _, path| {
        let rotation = rope::rotation(config, rotated as i32, config.rope_theta, &config.rope_scaling)?;
        let mut self_attn = attention(parts, &format!("{path}.self_attn"), rotation)?;
        self_attn.settings.window = window;
        let mlp = mlp(parts, &format!("{path}.mlp"))?;
        parts.pre_norm_layer(path, self_attn, FeedForward::Dense(mlp))
    })?;
    parts.decoder(layers)
}

fn attention(parts: &mut Parts<'_>, path: &str, rotation: Rotation) -> Result<Attention, ModelError> {
    let (queries, keys) = parts.widths();
    let hidden = parts.config.hidden_size;
    let qkv = parts.linear(&format!("{path}.qkv_proj"), queries + 2 * keys, hidden, false)?;
    parts.attention_of(path, Projections::joined(qkv), false, rotation)
}

fn mlp(parts: &mut Parts<'_>, path: &str) -> Result<Mlp, ModelError> {
    let config = parts.config;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let gate_up = parts.linear(&format!("{path}.gate_up_proj"), 2 * inner, hidden, false)?;
    Ok(Mlp {
        gate_up_proj: Projections::joined(gate_up),
        down_proj: parts.linear(&format!("{path}.down_proj"), hidden, inner, false)?,
        activation: config.hidden_act,
    })
}
