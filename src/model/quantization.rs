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

    /// How the module `path` ("model.layers.0.mlp.up_proj") is packed, if the checkpoint holds it quantised.
    pub fn of(&self, path: &str) -> Option<Quantization> {
        self.overrides.get(path).copied().unwrap_or(self.default)
    }
}

fn read(field: &str, object: &serde_json::Map<String, Value>) -> Result<Quantization, ModelError> {
    let number = |key: &str, default: i64| object.get(key).map_or(Some(default), Value::as_i64).unwrap_or(-1);
    let (bits, group_size) = (number("bits", 4), number("group_size", 64));
    let bits = i32::try_from(bits)
        .ok()
        .filter(|bits| SUPPORTED_BITS.contains(bits))
        .ok_or_else(|| unsupported(&format!("{field}.bits"), &bits.to_string(), &list(&SUPPORTED_BITS)))?;
    let group_size =
        i32::try_from(group_size).ok().filter(|size| SUPPORTED_GROUP_SIZES.contains(size)).ok_or_else(|| {
            unsupported(&format!("{field}.group_size"), &group_size.to_string(), &list(&SUPPORTED_GROUP_SIZES))
        })?;
    Ok(Quantization { bits, group_size })
}

fn list(values: &[i32]) -> String {
    values.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
