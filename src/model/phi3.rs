//! Architecture `phi3` (Phi-3, Phi-3.5 and Phi-4-mini, 2024): a llama whose projections come fused.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder, pre_norm_layer};
use super::attention::Attention;
use super::config::Config;
use super::decoder::{Decoder, FeedForward};
use super::linear::Projections;
use super::mlp::Mlp;
use super::rope::Rope;
use super::weights::Weights;
use serde_json::Value;

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let window = match config.fields.get("sliding_window") {
        Value::Null => None,
        _ => Some(config.fields.size("sliding_window", None)?),
    };
    let rotated = config.fields.number("partial_rotary_factor", Some(1.0))? * config.head_dim as f32;
    let layers = layers(config, |_, path| {
        let mut self_attn = attention(config, weights, &format!("{path}.self_attn"))?;
        self_attn.settings.window = window;
        self_attn.rope = Some(Rope::with_theta(config, rotated as i32, config.rope_theta, &config.rope_scaling)?);
        let mlp = mlp(config, weights, &format!("{path}.mlp"))?;
        pre_norm_layer(config, weights, path, self_attn, FeedForward::Dense(mlp))
    })?;
    pre_norm_decoder(config, weights, layers)
}

fn attention(config: &Config, weights: &mut Weights, path: &str) -> Result<Attention, ModelError> {
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let qkv = weights.linear(config, &format!("{path}.qkv_proj"), queries + 2 * keys, config.hidden_size, false)?;
    Ok(Attention {
        qkv_proj: Projections::Fused { linear: qkv, ends: vec![queries, queries + keys] },
        o_proj: weights.linear(config, &format!("{path}.o_proj"), config.hidden_size, queries, false)?,
        q_norm: None,
        k_norm: None,
        rope: None,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        settings: weights.usual_settings(config),
    })
}

fn mlp(config: &Config, weights: &mut Weights, path: &str) -> Result<Mlp, ModelError> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let gate_up = weights.linear(config, &format!("{path}.gate_up_proj"), 2 * inner, hidden, false)?;
    let down = weights.linear(config, &format!("{path}.down_proj"), hidden, inner, false)?;
    Ok(Mlp::new(Projections::Fused { linear: gate_up, ends: vec![inner] }, down, config.hidden_act))
}
