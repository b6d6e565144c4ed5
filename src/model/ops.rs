//! Small operations that several rooms of the model share.

use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, concatenate, power, sigmoid, tanh};
use mlx_rs::{Array, Dtype};
use std::f32::consts::{E, PI};

/// What stands between a gated MLP's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x σ(x).
    Silu,
    /// The tanh approximation of x Φ(x).
    GeluTanh,
}

impl Activation {
    /// config.json's names of them.
    const NAMES: [(&'static str, Self); 4] = [
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_new", Self::GeluTanh),
    ];

    /// By config.json's name of it; the error lists the known ones.
    pub fn named(name: &str) -> std::result::Result<Self, String> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation);
        known.ok_or_else(|| Self::NAMES.map(|(name, _)| name).join(", "))
    }

    /// x `[..]` → `[..]`.
    pub fn apply(self, x: &Array) -> Result<Array> {
        match self {
            // A CPU, which computes in f32, takes a power in a third of the time of MLX's own sigmoid.
            Self::Silu if x.dtype() == Dtype::Float32 => {
                x.divide(power(Array::from_f32(1.0 / E), x)?.add(Array::from_f32(1.0))?)
            }
            Self::Silu => x.multiply(sigmoid(x)?),
            Self::GeluTanh => {
                let cubic = x.multiply(x)?.multiply(x)?.multiply(scalar(0.044_715, x)?)?;
                let inner = x.add(cubic)?.multiply(scalar((2.0 / PI).sqrt(), x)?)?;
                tanh(inner)?.add(scalar(1.0, x)?)?.multiply(x)?.multiply(scalar(0.5, x)?)
            }
        }
    }
}

/// `value` in the dtype of `like`.
pub fn scalar(value: f32, like: &Array) -> Result<Array> {
    Array::from_f32(value).as_dtype(like.dtype())
}

/// e to the power of x `[.., n]` less its greatest number along the last axis: a softmax's numerators. On a CPU this takes
/// a third of the time of MLX's own exponentials.
pub fn exponentials(x: &Array) -> Result<Array> {
    power(scalar(E, x)?, x.subtract(x.max_axis(-1, true)?)?)
}

/// The outputs one after the other along their first axis, followed by zeros up to `width` rows.
pub fn padded_to(width: i32, mut outputs: Vec<Array>) -> Result<Array> {
    let missing = width - outputs.iter().map(|output| output.dim(0)).sum::<i32>();
    if missing > 0
        && let Some(first) = outputs.first()
    {
        let mut shape = first.shape().to_vec();
        shape[0] = missing;
        outputs.push(broadcast_to(scalar(0.0, first)?, &shape)?);
    }
    concatenated(outputs)
}

/// Arrays one after the other along their first axis.
pub fn concatenated(arrays: Vec<Array>) -> Result<Array> {
    match arrays.as_slice() {
        [only] => Ok(only.clone()),
        many => concatenate(many, 0),
    }
}
