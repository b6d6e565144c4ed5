//! Packs a dense checkpoint's matrices, choosing among them as mlx-lm's converter does.

use super::config::Config;
use crate::model::{ModelError, Quantization};
use mlx_rs::error::Result;
use mlx_rs::ops::{dequantize, quantize};
use mlx_rs::{Array, Dtype};

/// Says which matrices of a dense checkpoint are packed and how, and packs them.
#[derive(Clone, Debug)]
pub struct Quantizer {
    usual: Quantization,
    model_type: String,
    /// What the checkpoint's numbers are brought to first: config.json's `torch_dtype`.
    dtype: Option<Dtype>,
}

/// A packed matrix: `packed` u32 `[.., out, in · bits / 32]`, `scales` and `biases` `[.., out, in / group_size]`.
#[derive(Clone, Debug)]
pub struct Packed {
    pub packed: Array,
    pub scales: Array,
    pub biases: Array,
    pub quantization: Quantization,
}

impl Quantizer {
    /// For matrices that few bits harm.
    pub const CAREFUL: Quantization = Quantization { bits: 8, group_size: 64 };

    /// For the checkpoint of `config`, which must be dense.
    pub fn new(config: &Config, usual: Quantization) -> std::result::Result<Self, ModelError> {
        if !config.quantization.is_dense() {
            return Err(ModelError::unsupported("quantising", "a checkpoint that is quantised already", "a dense one"));
        }
        let dtype = match config.fields.get("torch_dtype").as_str() {
            Some("float16") => Some(Dtype::Float16),
            Some("bfloat16") => Some(Dtype::Bfloat16),
            Some("float32") => Some(Dtype::Float32),
            _ => None,
        };
        Ok(Self { usual, model_type: config.model_type.clone(), dtype })
    }

    /// `array` in the type that the checkpoint says it has.
    pub fn cast(&self, array: Array) -> Result<Array> {
        match self.dtype {
            Some(dtype) => array.as_dtype(dtype),
            None => Ok(array),
        }
    }

    /// How the matrix of `path` with rows of `inputs` numbers is packed; none where it stays dense.
    pub fn choose(&self, path: &str, inputs: i32) -> Option<Quantization> {
        if inputs % self.usual.group_size != 0 {
            return None;
        }
        Some(if self.is_delicate(path) { Self::CAREFUL } else { self.usual })
    }

    /// Whether the matrix of `path` is packed with [`Self::CAREFUL`], which config.json then says for it.
    pub fn is_delicate(&self, path: &str) -> bool {
        match self.model_type.as_str() {
            // A router that errs sends a token to the wrong experts.
            "qwen3_moe" => path.ends_with("mlp.gate"),
            // These matrices' largest weights are small.
            "granite" => path.ends_with("self_attn.o_proj") || path.ends_with("mlp.down_proj") || path == "lm_head",
            _ => false,
        }
    }
}

impl Packed {
    /// Packs `weight` `[.., out, in]`.
    pub fn new(weight: &Array, quantization: Quantization) -> Result<Self> {
        let (packed, scales, biases) = quantize(weight, quantization.group_size, quantization.bits)?;
        Ok(Self { packed, scales, biases, quantization })
    }

    /// The numbers, in `dtype`: `[.., out, in]`.
    pub fn unpacked(&self, dtype: Dtype) -> Result<Array> {
        let Quantization { bits, group_size } = self.quantization;
        let (scales, biases) = (self.scales.as_dtype(dtype)?, self.biases.as_dtype(dtype)?);
        dequantize(&self.packed, scales, &biases, group_size, bits)?.as_dtype(dtype)
    }
}
