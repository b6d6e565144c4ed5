//! How a checkpoint is quantised: config.json's `quantization`, with its overrides per layer.

use super::ModelError;
use super::config::unsupported;
use serde_json::Value;
use std::collections::HashMap;

const SUPPORTED_BITS: [i32; 6] = [2, 3, 4, 5, 6, 8];
const SUPPORTED_GROUP_SIZES: [i32; 3] = [32, 64, 128];

/// Affine quantisation as MLX packs it: `group_size` neighbours of a row share one scale and one bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantization {
    /// Bits of one weight.
    pub bits: i32,
    /// Weights that share a scale and a bias.
    pub group_size: i32,
}

impl Quantization {
    /// Refuses what MLX can't pack.
    pub fn new(bits: i32, group_size: i32) -> Result<Self, ModelError> {
        Self::checked("quantization", bits, group_size)
    }

    fn checked(field: &str, bits: i32, group_size: i32) -> Result<Self, ModelError> {
        let check = |name: &str, value: i32, supported: &[i32]| match supported.contains(&value) {
            true => Ok(value),
            false => Err(unsupported(&format!("{field}.{name}"), &value.to_string(), &list(supported))),
        };
        Ok(Self {
            bits: check("bits", bits, &SUPPORTED_BITS)?,
            group_size: check("group_size", group_size, &SUPPORTED_GROUP_SIZES)?,
        })
    }
}

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
            return Err(unsupported("quantization.mode", mode, "affine"));
        }
        if let Some(method) = object.get("quant_method").and_then(Value::as_str) {
            return Err(unsupported("quantization_config.quant_method", method, "MLX's affine quantisation"));
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

fn list(values: &[i32]) -> String {
    values.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
