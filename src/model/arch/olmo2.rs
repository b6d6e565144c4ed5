//! Architecture `olmo2` (OLMo 2, 2024): norms stand behind attention and MLP, and over all query or key heads at once.

use super::parts::{AttentionBiases, Parts};
use crate::model::ModelError;
use crate::model::layers::{Attention, Decoder, HeadNorms, SandwichLayer};

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let config = parts.config;
    let layers = parts.layers(|parts, _, path| {
        let mut norm = |name: &str| parts.norm(&format!("{path}.{name}"), config.hidden_size);
        Ok(SandwichLayer {
            input_layernorm: None,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: None,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
            self_attn: attention(parts, &format!("{path}.self_attn"))?,
            mlp: parts.mlp(&format!("{path}.mlp"), config.fields.flag("mlp_bias", false)?)?,
        })
    })?;
    parts.decoder(layers)
}

fn attention(parts: &mut Parts<'_>, path: &str) -> Result<Attention, ModelError> {
    let bias = parts.config.fields.flag("attention_bias", false)?;
    let mut attention = parts.attention(path, AttentionBiases { qkv: bias, output: bias })?;
    let (queries, keys) = parts.widths();
    let mut norm = |name: &str, width: i32| parts.norm(&format!("{path}.{name}"), width);
    attention.norms = HeadNorms::AllHeads { q_norm: norm("q_norm", queries)?, k_norm: norm("k_norm", keys)? };
    Ok(attention)
}
