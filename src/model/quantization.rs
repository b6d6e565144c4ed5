//! Affine quantisation as MLX packs it.

use super::ModelError;

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

    /// [`Quantization::new`] for a config.json's `field`, which errors name.
    pub(super) fn checked(field: &str, bits: i32, group_size: i32) -> Result<Self, ModelError> {
        let check = |name: &str, value: i32, supported: &[i32]| match supported.contains(&value) {
            true => Ok(value),
            false => Err(ModelError::unsupported(&format!("{field}.{name}"), &value.to_string(), &list(supported))),
        };
        Ok(Self {
            bits: check("bits", bits, &SUPPORTED_BITS)?,
            group_size: check("group_size", group_size, &SUPPORTED_GROUP_SIZES)?,
        })
    }
}

fn list(values: &[i32]) -> String {
    values.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
