//! Architecture `olmo2` (OLMo 2, 2024): norms stand behind attention and MLP, and over all query or key heads at once.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder};
use super::attention::{Attention, HeadNorm};
use super::config::Config;
use super::decoder::Decoder;
use super::sandwich::SandwichLayer;
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let layers = layers(config, |_, path| {
        let mut norm = |name: &str| weights.norm(config, &format!("{path}.{name}"), config.hidden_size);
        Ok(SandwichLayer {
            input_layernorm: None,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: None,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
            self_attn: attention(config, weights, &format!("{path}.self_attn"))?,
            mlp: weights.mlp(config, &format!("{path}.mlp"), config.fields.flag("mlp_bias", false)?)?,
        })
    })?;
    pre_norm_decoder(config, weights, layers)
}

fn attention(config: &Config, weights: &mut Weights, path: &str) -> Result<Attention, ModelError> {
    let bias = config.fields.flag("attention_bias", false)?;
    let mut attention = weights.attention(config, path, AttentionBiases { qkv: bias, output: bias })?;
    let mut norm = |name: &str, heads: i32| weights.norm(config, &format!("{path}.{name}"), heads * config.head_dim);
    attention.q_norm = Some(HeadNorm::AllHeads(norm("q_norm", config.num_attention_heads)?));
    attention.k_norm = Some(HeadNorm::AllHeads(norm("k_norm", config.num_key_value_heads)?));
    Ok(attention)
}
