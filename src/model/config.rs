//! config.json (or a GGUF's metadata in its terms), read once and checked before any weight is.

use super::ModelError;
use super::quantization::QuantizationPlan;
use serde_json::Value;
use std::path::{Path, PathBuf};

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
    /// Whether the embedding is the output matrix too.
    pub tie_word_embeddings: bool,
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
    /// Each wavelength times its own factor: a GGUF's `rope_freqs`.
    Factors(Vec<f32>),
}

/// A JSON object whose every misuse becomes an error that names the file and the field.
#[derive(Clone, Debug)]
pub struct Fields {
    file: PathBuf,
    object: Value,
}

impl Fields {
    /// `object` as read from `file`.
    pub fn new(file: &Path, object: Value) -> Self {
        Self { file: file.to_owned(), object }
    }

    /// The raw value; null where absent.
    pub fn get(&self, field: &str) -> &Value {
        &self.object[field]
    }

    /// An error about this file.
    pub fn problem(&self, problem: impl Into<String>) -> ModelError {
        ModelError::Config { file: self.file.clone(), problem: problem.into() }
    }

    /// A positive integer, or `default` where absent.
    pub fn size(&self, field: &str, default: Option<i32>) -> Result<i32, ModelError> {
        match (self.get(field), default) {
            (Value::Null, Some(default)) => Ok(default),
            (Value::Null, None) => Err(self.problem(format!("the field {field} is missing"))),
            (value, _) => value
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .filter(|number| *number > 0)
                .ok_or_else(|| self.problem(format!("{field} must be a positive whole number, not {value}"))),
        }
    }

    /// A finite number, or `default` where absent.
    pub fn number(&self, field: &str, default: Option<f32>) -> Result<f32, ModelError> {
        match (self.get(field), default) {
            (Value::Null, Some(default)) => Ok(default),
            (Value::Null, None) => Err(self.problem(format!("the field {field} is missing"))),
            (value, _) => value
                .as_f64()
                .map(|number| number as f32)
                .filter(|number| number.is_finite())
                .ok_or_else(|| self.problem(format!("{field} must be a number, not {value}"))),
        }
    }

    /// A truth value, or `default` where absent.
    pub fn flag(&self, field: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(field) {
            Value::Null => Ok(default),
            value => value.as_bool().ok_or_else(|| self.problem(format!("{field} must be true or false, not {value}"))),
        }
    }
}

impl Config {
    /// Reads and checks the fields that every architecture shares.
    pub fn new(fields: Fields) -> Result<Self, ModelError> {
        let model_type = match fields.get("model_type") {
            Value::String(name) => name.clone(),
            Value::Null => return Err(fields.problem("the field model_type is missing")),
            other => return Err(fields.problem(format!("model_type must be a name, not {other}"))),
        };
        let hidden_size = fields.size("hidden_size", None)?;
        let num_attention_heads = fields.size("num_attention_heads", None)?;
        let num_key_value_heads = fields.size("num_key_value_heads", Some(num_attention_heads))?;
        if num_attention_heads % num_key_value_heads != 0 {
            return Err(fields.problem(format!(
                "num_attention_heads ({num_attention_heads}) must be a multiple of num_key_value_heads ({num_key_value_heads})"
            )));
        }
        let activation = ["hidden_act", "hidden_activation"].iter().find_map(|field| fields.get(field).as_str());
        if let Some(activation) = activation.filter(|name| !super::mlp::Activation::SUPPORTED.contains(name)) {
            return Err(unsupported("hidden_act", activation, &super::mlp::Activation::SUPPORTED.join(", ")));
        }
        Ok(Self {
            hidden_size,
            num_hidden_layers: fields.size("num_hidden_layers", None)? as usize,
            intermediate_size: fields.size("intermediate_size", None)?,
            num_attention_heads,
            num_key_value_heads,
            head_dim: fields.size("head_dim", Some(hidden_size / num_attention_heads))?,
            rms_norm_eps: fields.number("rms_norm_eps", Some(1e-6))?,
            vocab_size: fields.size("vocab_size", None)?,
            max_position_embeddings: fields.size("max_position_embeddings", Some(2048))? as u32,
            rope_theta: rope_theta(&fields)?,
            rope_traditional: fields.flag("rope_traditional", false)?,
            rope_scaling: RopeScaling::read(&fields)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings", true)?,
            quantization: QuantizationPlan::from_config(&fields.object)?,
            model_type,
            fields,
        })
    }
}

/// transformers 5 writes `rope_theta` into `rope_parameters`.
fn rope_theta(fields: &Fields) -> Result<f32, ModelError> {
    match fields.get("rope_parameters")["rope_theta"].as_f64() {
        Some(theta) if fields.get("rope_theta").is_null() => Ok(theta as f32),
        _ => fields.number("rope_theta", Some(10_000.0)),
    }
}

impl RopeScaling {
    fn read(fields: &Fields) -> Result<Self, ModelError> {
        let (name, object) = match (fields.get("rope_scaling"), fields.get("rope_parameters")) {
            (Value::Null, Value::Null) => return Ok(Self::Default),
            (Value::Null, parameters) => ("rope_parameters", parameters),
            (scaling, _) => ("rope_scaling", scaling),
        };
        let scaling = Fields { file: fields.file.clone(), object: object.clone() };
        let kind = ["rope_type", "type"].iter().find_map(|key| object[*key].as_str()).unwrap_or("default");
        match kind {
            "default" => Ok(Self::Default),
            "linear" => Ok(Self::Linear { factor: scaling.number("factor", None)? }),
            "llama3" => Ok(Self::Llama3 {
                factor: scaling.number("factor", None)?,
                low_freq_factor: scaling.number("low_freq_factor", Some(1.0))?,
                high_freq_factor: scaling.number("high_freq_factor", Some(4.0))?,
                original_max_position_embeddings: scaling.number("original_max_position_embeddings", Some(8192.0))?,
            }),
            other => Err(unsupported(&format!("{name}.rope_type"), other, "default, linear, llama3")),
        }
    }
}

/// A value that this program has no code for.
pub fn unsupported(field: &str, value: &str, supported: &str) -> ModelError {
    ModelError::Unsupported { field: field.into(), value: value.into(), supported: supported.into() }
}
