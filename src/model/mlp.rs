//! The gated MLP that decoder layers end in.

use super::cuda;
use super::kernels;
use super::linear::{Linear, Projections, Weight};
use mlx_rs::error::Result;
use mlx_rs::ops::{power, sigmoid, tanh};
use mlx_rs::{Array, Dtype};
use std::f32::consts::E;

/// What stands between the MLP's products.
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

    /// x [..] → [..].
    pub fn apply(self, x: &Array) -> Result<Array> {
        match self {
            // A CPU, which computes in f32, takes a power in a third of the time of MLX's own sigmoid.
            Self::Silu if x.dtype() == Dtype::Float32 => {
                x.divide(power(Array::from_f32(1.0 / E), x)?.add(Array::from_f32(1.0))?)
            }
            Self::Silu => x.multiply(sigmoid(x)?),
            Self::GeluTanh => {
                let cubic = x.multiply(x)?.multiply(x)?.multiply(scalar(0.044_715, x)?)?;
                let inner = x.add(cubic)?.multiply(scalar((2.0 / std::f32::consts::PI).sqrt(), x)?)?;
                tanh(inner)?.add(scalar(1.0, x)?)?.multiply(x)?.multiply(scalar(0.5, x)?)
            }
        }
    }
}

/// `value` in the dtype of `like`.
pub fn scalar(value: f32, like: &Array) -> Result<Array> {
    Array::from_f32(value).as_dtype(like.dtype())
}

/// e to the power of x [.., n] less its greatest number along the last axis: a softmax's numerators. On a CPU this takes
/// a third of the time of MLX's own exponentials.
pub fn exponentials(x: &Array) -> Result<Array> {
    power(scalar(E, x)?, x.subtract(x.max_axis(-1, true)?)?)
}

/// down(act(gate(x)) · up(x)).
#[derive(Debug)]
pub struct Mlp {
    gate_up: Projections,
    down: Linear,
    activation: Activation,
}

impl Mlp {
    /// `gate_up` are the checkpoint's `gate_proj` and `up_proj`, `down` its `down_proj`.
    pub fn new(gate_up: Projections, down: Linear, activation: Activation) -> Self {
        Self { gate_up, down, activation }
    }

    /// x [T, hidden] → [T, hidden].
    pub fn forward(&self, x: &Array) -> Result<Array> {
        if let (Some(linear), Activation::Silu) = (self.gate_up.fused(), self.activation) {
            let both = linear.forward(x)?;
            if let Some(gated) = kernels::gated(&both) {
                return self.down.forward(&gated?);
            }
        }
        let parts = self.gate_up.forward(x)?;
        let gated = self.activation.apply(&parts[0])?.multiply(&parts[1])?;
        self.down.forward(&gated)
    }

    /// The gate's and its counterpart's matrix, and the one behind them, where kernels for an NVIDIA GPU take them and the
    /// gate.
    pub fn matrices(&self) -> Option<[cuda::Matrix; 2]> {
        let gate_up = self.gate_up.fused()?.matrix().filter(|matrix| matrix.takes_gate())?;
        (self.activation == Activation::Silu).then_some([gate_up, self.down.matrix()?])
    }

    /// The matrices.
    pub fn weights(&self) -> Vec<&Weight> {
        self.gate_up.weights().into_iter().chain([self.down.weight()]).collect()
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        self.gate_up.arrays().into_iter().chain(self.down.arrays()).collect()
    }
}
