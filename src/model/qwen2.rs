//! Architecture `qwen2` (Qwen2 and Qwen2.5, 2024): a llama whose queries, keys and values have a bias.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder};
use super::config::Config;
use super::decoder::{Decoder, PreNormLayer};
use super::mlp::Activation;
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let layers = layers(config, |path| {
        Ok(PreNormLayer {
            input_layernorm: weights.norm(config, &format!("{path}.input_layernorm"), config.hidden_size)?,
            self_attn: weights.attention(
                config,
                &format!("{path}.self_attn"),
                AttentionBiases { qkv: true, output: false },
            )?,
            post_attention_layernorm: weights.norm(
                config,
                &format!("{path}.post_attention_layernorm"),
                config.hidden_size,
            )?,
            mlp: weights.mlp(config, &format!("{path}.mlp"), Activation::Silu, false)?,
        })
    })?;
    pre_norm_decoder(config, weights, layers)
}
