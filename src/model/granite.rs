//! Architecture `granite` (IBM Granite 3, 2024): a llama with factors on embedding, attention, residuals and logits.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder};
use super::config::Config;
use super::decoder::Decoder;
use super::llama;
use super::weights::Weights;

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let factor = |field: &str| config.fields.number(field, Some(1.0));
    let (attention, residual) = (factor("attention_multiplier")?, factor("residual_multiplier")?);
    let layers = layers(config, |_, path| {
        let mut layer = llama::layer(config, weights, path)?;
        layer.self_attn.settings.scale = attention;
        layer.residual_multiplier = Some(residual);
        Ok(layer)
    })?;
    let mut decoder = pre_norm_decoder(config, weights, layers)?;
    decoder.embedding_scale = Some(factor("embedding_multiplier")?);
    decoder.logits_scale = Some(1.0 / factor("logits_scaling")?);
    Ok(decoder)
}
