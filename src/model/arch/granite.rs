//! Architecture `granite` (IBM Granite 3, 2024): a llama with factors on embedding, attention, residuals and logits.

use super::llama;
use super::parts::Parts;
use crate::model::ModelError;
use crate::model::layers::Decoder;

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let fields = &parts.config.fields;
    let factor = |field: &str| fields.number(field, Some(1.0));
    let (attention, residual) = (factor("attention_multiplier")?, factor("residual_multiplier")?);
    let layers = parts.layers(|parts, _, path| {
        let mut layer = llama::layer(parts, path)?;
        layer.self_attn.settings.scale = attention;
        layer.residual_multiplier = Some(residual);
        Ok(layer)
    })?;
    let mut decoder = parts.decoder(layers)?;
    decoder.embedding_scale = Some(factor("embedding_multiplier")?);
    decoder.logits_scale = Some(1.0 / factor("logits_scaling")?);
    Ok(decoder)
}
