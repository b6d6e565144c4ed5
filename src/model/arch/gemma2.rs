//! Architecture `gemma2` (Gemma 2, 2024): norms on both sides, capped scores and logits, every other layer a window.

use super::parts::{AttentionBiases, OutputMatrix, Parts};
use crate::model::ModelError;
use crate::model::layers::{Attention, Decoder, RmsNorm, SandwichLayer};

/// Takes the model's weights. The even layers see `sliding_window` tokens, which mlx-lm leaves out.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let config = parts.config;
    let fields = &config.fields;
    let window = fields.size("sliding_window", Some(4096))?;
    let scale = fields.number("query_pre_attn_scalar", Some(144.0))?.powf(-0.5);
    let softcap = fields.number("attn_logit_softcapping", Some(50.0))?;
    let layers = parts.layers(|parts, index, path| {
        let mut self_attn = parts.attention(&format!("{path}.self_attn"), AttentionBiases::default())?;
        self_attn.settings.scale = scale;
        self_attn.settings.softcap = Some(softcap);
        self_attn.settings.window = (index % 2 == 0).then_some(window);
        gemma_layer(parts, path, self_attn)
    })?;
    let mut decoder = parts.decoder_with(layers, OutputMatrix::Embedding)?;
    decoder.norm = decoder.norm.one_plus()?;
    decoder.embedding_scale = Some((config.hidden_size as f32).sqrt());
    decoder.logits_softcap = Some(fields.number("final_logit_softcapping", Some(30.0))?);
    Ok(decoder)
}

/// The layer at `path` around its attention.
pub fn gemma_layer(parts: &mut Parts<'_>, path: &str, self_attn: Attention) -> Result<SandwichLayer, ModelError> {
    let mut norm = |name: &str| -> Result<RmsNorm, ModelError> {
        Ok(parts.norm(&format!("{path}.{name}"), parts.config.hidden_size)?.one_plus()?)
    };
    Ok(SandwichLayer {
        input_layernorm: Some(norm("input_layernorm")?),
        post_attention_layernorm: norm("post_attention_layernorm")?,
        pre_feedforward_layernorm: Some(norm("pre_feedforward_layernorm")?),
        post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
        self_attn,
        mlp: parts.mlp(&format!("{path}.mlp"), false)?,
    })
}
