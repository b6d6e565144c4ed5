//! Architecture `gemma3_text` (Gemma 3, 2025): a gemma2 that norms heads instead of capping, most layers with a window.

use super::gemma2::gemma_layer;
use super::parts::{AttentionBiases, OutputMatrix, Parts};
use super::rope;
use crate::model::ModelError;
use crate::model::files::{Config, RopeScaling};
use crate::model::layers::{Decoder, HeadNorms, RmsNorm};
use serde_json::Value;

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let config = parts.config;
    let fields = &config.fields;
    let window = fields.size("sliding_window", Some(512))?;
    let scale = fields.number("query_pre_attn_scalar", Some(256.0))?.powf(-0.5);
    let nested = |layers: &str| fields.get("rope_parameters")[layers]["rope_theta"].as_f64().map(|theta| theta as f32);
    let theta = fields.number("rope_theta", Some(nested("full_attention").unwrap_or(1_000_000.0)))?;
    let local_theta = fields.number("rope_local_base_freq", Some(nested("sliding_attention").unwrap_or(10_000.0)))?;
    let is_local = local_layers(config)?;
    let layers = parts.layers(|parts, index, path| {
        let path_of_attention = format!("{path}.self_attn");
        let mut self_attn = parts.attention(&path_of_attention, AttentionBiases::default())?;
        let mut norm = |name: &str| -> Result<RmsNorm, ModelError> {
            Ok(parts.norm(&format!("{path_of_attention}.{name}"), config.head_dim)?.one_plus()?)
        };
        self_attn.norms = HeadNorms::EachHead { q_norm: norm("q_norm")?, k_norm: norm("k_norm")? };
        self_attn.settings.scale = scale;
        self_attn.settings.window = is_local[index].then_some(window);
        self_attn.rotation = Some(match is_local[index] {
            true => rope::rotation(config, config.head_dim, local_theta, &RopeScaling::Default)?,
            false => rope::rotation(config, config.head_dim, theta, &config.rope_scaling)?,
        });
        gemma_layer(parts, path, self_attn)
    })?;
    let mut decoder = parts.decoder_with(layers, OutputMatrix::HeadWhereThere)?;
    decoder.norm = decoder.norm.one_plus()?;
    decoder.embedding_scale = Some(rounded_to_bf16((config.hidden_size as f32).sqrt()));
    Ok(decoder)
}

/// The nearest number that bf16 holds, ties to even: training rounded the embedding's factor.
fn rounded_to_bf16(number: f32) -> f32 {
    let bits = number.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// Which layers see only a window.
fn local_layers(config: &Config) -> Result<Vec<bool>, ModelError> {
    let fields = &config.fields;
    let is_local: Vec<bool> = match fields.get("layer_types") {
        Value::Array(types) => types.iter().map(|kind| kind == "sliding_attention").collect(),
        _ => {
            let newer_name = fields.size("_sliding_window_pattern", Some(6))?;
            let pattern = fields.size("sliding_window_pattern", Some(newer_name))? as usize;
            (1..=config.num_hidden_layers).map(|number| number % pattern != 0).collect()
        }
    };
    match is_local.len() == config.num_hidden_layers {
        true => Ok(is_local),
        false => Err(fields.problem("layer_types must have one entry for each layer").into()),
    }
}
