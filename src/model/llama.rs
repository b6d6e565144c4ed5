//! Architecture `llama` (Touvron et al. 2023; Llama 3 herd 2024), also SmolLM2 and others of its shape.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder};
use super::config::Config;
use super::decoder::{Decoder, PreNormLayer};
use super::mlp::Activation;
use super::weights::{AttentionBiases, Weights};

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let attention_bias = config.fields.flag("attention_bias", false)?;
    let mlp_bias = config.fields.flag("mlp_bias", false)?;
    let layers = layers(config, |path| {
        Ok(PreNormLayer {
            input_layernorm: weights.norm(config, &format!("{path}.input_layernorm"), config.hidden_size)?,
            self_attn: weights.attention(
                config,
                &format!("{path}.self_attn"),
                AttentionBiases { qkv: attention_bias, output: attention_bias },
            )?,
            post_attention_layernorm: weights.norm(
                config,
                &format!("{path}.post_attention_layernorm"),
                config.hidden_size,
            )?,
            mlp: weights.mlp(config, &format!("{path}.mlp"), Activation::Silu, mlp_bias)?,
        })
    })?;
    pre_norm_decoder(config, weights, layers)
}
