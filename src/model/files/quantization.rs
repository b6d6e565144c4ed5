//! How a checkpoint is quantised: config.json's `quantization`, with its overrides per layer.

use crate::model::{ModelError, Quantization};
use serde_json::Value;
use std::collections::HashMap;

/// Which module is quantised how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuantizationPlan {
    default: Option<Quantization>,
    overrides: HashMap<String, Option<Quantization>>,
}

impl QuantizationPlan {
    /// Reads `quantization` (or `quantization_config`) of config.json; absent means a dense checkpoint.
    pub fn from_config(config: &Value) -> Result<Self, ModelError> {
        let Some(object) = ["quantization", "quantization_config"].iter().find_map(|key| config[*key].as_object())
        else {
            return Ok(Self::default());
        };
        if let Some(mode) = object.get("mode").and_then(Value::as_str).filter(|mode| *mode != "affine") {
            return Err(ModelError::unsupported("quantization.mode", mode, "affine"));
        }
        if let Some(method) = object.get("quant_method").and_then(Value::as_str) {
            return Err(ModelError::unsupported(
                "quantization_config.quant_method",
                method,
                "MLX's affine quantisation",
            ));
        }
        let default = read("quantization", object)?;
        let mut overrides = HashMap::new();
        for (module, value) in object {
            match value {
                Value::Bool(false) => overrides.insert(module.clone(), None),
                Value::Object(own) => overrides.insert(module.clone(), Some(read(module, own)?)),
                _ => None,
            };
        }
        Ok(Self { default: Some(default), overrides })
    }

    /// Whether nothing is packed.
    pub fn is_dense(&self) -> bool {
        self.default.is_none()
    }

    /// How the module `path` ("model.layers.0.mlp.up_proj") is packed, if the checkpoint holds it quantised.
    pub fn of(&self, path: &str) -> Option<Quantization> {
        self.overrides.get(path).copied().unwrap_or(self.default)
    }
}

fn read(field: &str, object: &serde_json::Map<String, Value>) -> Result<Quantization, ModelError> {
    let number = |key: &str, default: i64| object.get(key).map_or(Some(default), Value::as_i64).unwrap_or(-1);
    let fits = |number: i64| i32::try_from(number).unwrap_or(-1);
    Quantization::checked(field, fits(number("bits", 4)), fits(number("group_size", 64)))
}
