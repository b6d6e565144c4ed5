//! config.json (or a GGUF's metadata in its terms), read once and checked before any weight is.

use super::quantization::QuantizationPlan;
use crate::hub::config_json::{Dimensions, Fields};
use crate::model::ModelError;
use crate::model::ops::Activation;
use serde_json::Value;

/// What all architectures need to know; fields are named as in config.json.
#[derive(Clone, Debug)]
pub struct Config {
    /// The architecture's name.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: i32,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Width of the MLP.
    pub intermediate_size: i32,
    /// Query heads.
    pub num_attention_heads: i32,
    /// Key and value heads.
    pub num_key_value_heads: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// Added to the mean square before its root is taken.
    pub rms_norm_eps: f32,
    /// Rows of the embedding.
    pub vocab_size: i32,
    /// The context length.
    pub max_position_embeddings: u32,
    /// Base of the rotary embedding's wavelengths.
    pub rope_theta: f32,
    /// Whether neighbours (2i, 2i + 1) are rotated together instead of (i, i + dims / 2).
    pub rope_traditional: bool,
    /// How positions beyond the trained context are mapped.
    pub rope_scaling: RopeScaling,
    /// Whether the embedding is the output matrix too; where config.json says nothing, the checkpoint's tensors do.
    pub tie_word_embeddings: Option<bool>,
    /// What stands between the MLP's products.
    pub hidden_act: Activation,
    /// How the weights are packed.
    pub quantization: QuantizationPlan,
    /// Everything else, for architectures with fields of their own.
    pub fields: Fields,
}

/// config.json's `rope_scaling`.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// All positions divided by `factor`.
    Linear { factor: f32 },
    /// Long wavelengths divided by `factor`, short ones kept, those between interpolated.
    Llama3 { factor: f32, low_freq_factor: f32, high_freq_factor: f32, original_max_position_embeddings: f32 },
    /// Each wavelength times its own factor, and the rotated vectors times `amplitude`: `longrope` (LongRoPE, Ding et
    /// al. 2024), whose long factors serve at every length, as in mlx-lm; and a GGUF's `rope_freqs`.
    Factors { factors: Vec<f32>, amplitude: f32 },
}

impl Config {
    /// Reads and checks the fields that every architecture shares.
    pub fn new(fields: Fields) -> Result<Self, ModelError> {
        let model_type = fields.model_type()?.to_owned();
        refuse_windows(&model_type, &fields)?;
        let dimensions = Dimensions::new(&fields)?;
        let hidden_act = match ["hidden_act", "hidden_activation"].iter().find_map(|field| fields.get(field).as_str()) {
            Some(name) => {
                Activation::named(name).map_err(|supported| ModelError::unsupported("hidden_act", name, &supported))?
            }
            None if model_type.starts_with("gemma") => Activation::GeluTanh,
            None => Activation::Silu,
        };
        Ok(Self {
            hidden_size: dimensions.hidden_size,
            num_hidden_layers: dimensions.num_hidden_layers as usize,
            intermediate_size: fields.size("intermediate_size", None)?,
            num_attention_heads: dimensions.num_attention_heads,
            num_key_value_heads: dimensions.num_key_value_heads,
            head_dim: dimensions.head_dim,
            rms_norm_eps: fields.number("rms_norm_eps", Some(1e-6))?,
            vocab_size: fields.size("vocab_size", None)?,
            max_position_embeddings: dimensions.max_position_embeddings,
            rope_theta: rope_theta(&fields)?,
            rope_traditional: fields.flag("rope_traditional", false)?,
            rope_scaling: RopeScaling::read(&fields)?,
            tie_word_embeddings: match fields.get("tie_word_embeddings") {
                Value::Null => None,
                _ => Some(fields.flag("tie_word_embeddings", true)?),
            },
            hidden_act,
            quantization: QuantizationPlan::from_config(fields.object())?,
            model_type,
            fields,
        })
    }
}

/// Architectures that heed a sliding window; in the others its layers would see more than they were trained for.
const WINDOWED: [&str; 4] = ["gemma2", "gemma3_text", "mistral", "phi3"];

fn refuse_windows(model_type: &str, fields: &Fields) -> Result<(), ModelError> {
    if WINDOWED.contains(&model_type) {
        return Ok(());
    }
    let kinds = fields.get("layer_types").as_array().into_iter().flatten();
    match kinds.filter_map(Value::as_str).find(|kind| *kind != "full_attention") {
        Some(kind) => Err(ModelError::unsupported("layer_types", kind, "full_attention")),
        None if fields.flag("use_sliding_window", false)? => {
            Err(ModelError::unsupported("use_sliding_window", "true", "false"))
        }
        None => Ok(()),
    }
}

/// transformers 5 writes `rope_theta` into `rope_parameters`.
fn rope_theta(fields: &Fields) -> Result<f32, ModelError> {
    match fields.get("rope_parameters")["rope_theta"].as_f64() {
        Some(theta) if fields.get("rope_theta").is_null() => Ok(theta as f32),
        _ => Ok(fields.number("rope_theta", Some(10_000.0))?),
    }
}

impl RopeScaling {
    fn read(fields: &Fields) -> Result<Self, ModelError> {
        let (name, object) = match (fields.get("rope_scaling"), fields.get("rope_parameters")) {
            (Value::Null, Value::Null) => return Ok(Self::Default),
            (Value::Null, parameters) => ("rope_parameters", parameters),
            (scaling, _) => ("rope_scaling", scaling),
        };
        let scaling = fields.nested(object);
        let kind = ["rope_type", "type"].iter().find_map(|key| object[*key].as_str()).unwrap_or("default");
        match kind {
            "default" => Ok(Self::Default),
            "linear" => Ok(Self::Linear { factor: scaling.number("factor", None)? }),
            "longrope" | "su" => long_rope(fields, &scaling),
            "llama3" => Ok(Self::Llama3 {
                factor: scaling.number("factor", None)?,
                low_freq_factor: scaling.number("low_freq_factor", Some(1.0))?,
                high_freq_factor: scaling.number("high_freq_factor", Some(4.0))?,
                original_max_position_embeddings: scaling.number("original_max_position_embeddings", Some(8192.0))?,
            }),
            other => {
                Err(ModelError::unsupported(&format!("{name}.rope_type"), other, "default, linear, llama3, longrope"))
            }
        }
    }
}

/// The amplitude makes up for the attention's flattening over a longer context.
fn long_rope(fields: &Fields, scaling: &Fields) -> Result<RopeScaling, ModelError> {
    let factors: Option<Vec<f32>> = scaling.get("long_factor").as_array().and_then(|list| {
        list.iter().map(|factor| factor.as_f64().map(|factor| factor as f32).filter(|factor| *factor > 0.0)).collect()
    });
    let factors =
        factors.ok_or_else(|| fields.problem("rope_scaling.long_factor must be a list of positive numbers"))?;
    let field = "original_max_position_embeddings";
    let trained = scaling.number(field, Some(fields.number(field, Some(4096.0))?))?;
    let stretch = fields.number("max_position_embeddings", Some(131_072.0))? / trained;
    let amplitude = if stretch > 1.0 { (1.0 + stretch.ln() / trained.ln()).sqrt() } else { 1.0 };
    match amplitude.is_finite() {
        true => Ok(RopeScaling::Factors { factors, amplitude }),
        false => Err(fields.problem(format!("{field} must be above 1, not {trained}")).into()),
    }
}
