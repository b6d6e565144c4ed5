//! config.json, read field by field: the one place that knows what its common fields are called and what they default to.

use super::HubError;
use serde_json::Value;
use std::path::{Path, PathBuf};

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

    /// The whole object.
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// The raw value; null where absent.
    pub fn get(&self, field: &str) -> &Value {
        &self.object[field]
    }

    /// An object within this one.
    pub fn nested(&self, object: &Value) -> Self {
        Self { file: self.file.clone(), object: object.clone() }
    }

    /// An error about this file.
    pub fn problem(&self, problem: impl Into<String>) -> HubError {
        HubError::Unsupported { path: self.file.clone(), problem: problem.into() }
    }

    /// The architecture's name.
    pub fn model_type(&self) -> Result<&str, HubError> {
        match self.get("model_type") {
            Value::String(name) => Ok(name),
            Value::Null => Err(self.problem("the field model_type is missing")),
            other => Err(self.problem(format!("model_type must be a name, not {other}"))),
        }
    }

    /// A positive integer, or `default` where absent.
    pub fn size(&self, field: &str, default: Option<i32>) -> Result<i32, HubError> {
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

    /// A positive integer; none where absent.
    pub fn optional_size(&self, field: &str) -> Result<Option<i32>, HubError> {
        match self.get(field) {
            Value::Null => Ok(None),
            _ => Ok(Some(self.size(field, None)?)),
        }
    }

    /// A finite number, or `default` where absent.
    pub fn number(&self, field: &str, default: Option<f32>) -> Result<f32, HubError> {
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
    pub fn flag(&self, field: &str, default: bool) -> Result<bool, HubError> {
        match self.get(field) {
            Value::Null => Ok(default),
            value => value.as_bool().ok_or_else(|| self.problem(format!("{field} must be true or false, not {value}"))),
        }
    }
}

/// A model's dimensions, which its memory and its layers follow from; fields are named as in config.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// The architecture's name.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: i32,
    /// Decoder layers.
    pub num_hidden_layers: i32,
    /// Query heads.
    pub num_attention_heads: i32,
    /// Key and value heads.
    pub num_key_value_heads: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// The context length.
    pub max_position_embeddings: u32,
}

impl Dimensions {
    /// Reads and checks them.
    pub fn new(fields: &Fields) -> Result<Self, HubError> {
        let hidden_size = fields.size("hidden_size", None)?;
        let num_attention_heads = fields.size("num_attention_heads", None)?;
        let num_key_value_heads = fields.size("num_key_value_heads", Some(num_attention_heads))?;
        if num_attention_heads % num_key_value_heads != 0 {
            return Err(fields.problem(format!(
                "num_attention_heads ({num_attention_heads}) must be a multiple of num_key_value_heads ({num_key_value_heads})"
            )));
        }
        Ok(Self {
            model_type: fields.model_type()?.to_owned(),
            hidden_size,
            num_hidden_layers: fields.size("num_hidden_layers", None)?,
            num_attention_heads,
            num_key_value_heads,
            head_dim: fields.size("head_dim", Some(hidden_size / num_attention_heads))?,
            max_position_embeddings: fields.size("max_position_embeddings", Some(2048))? as u32,
        })
    }
}
