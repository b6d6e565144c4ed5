//! The gated MLP that decoder layers end in.

use super::linear::{Linear, Projections, Weight};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{sigmoid, tanh};

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
    pub const SUPPORTED: [&'static str; 4] = ["silu", "swish", "gelu_pytorch_tanh", "gelu_new"];

    /// x [..] → [..].
    pub fn apply(self, x: &Array) -> Result<Array> {
        match self {
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

/// down(act(gate(x)) · up(x)).
#[derive(Debug)]
pub struct Mlp {
    gate_up: Projections,
    down: Linear,
    activation: Activation,
}

impl Mlp {
    /// From the checkpoint's `gate_proj`, `up_proj` and `down_proj`.
    pub fn new(gate: Linear, up: Linear, down: Linear, activation: Activation) -> Result<Self> {
        Ok(Self { gate_up: Projections::new(vec![gate, up])?, down, activation })
    }

    /// x [B, L, hidden] → [B, L, hidden].
    pub fn forward(&self, x: &Array) -> Result<Array> {
        let parts = self.gate_up.forward(x)?;
        let gated = self.activation.apply(&parts[0])?.multiply(&parts[1])?;
        self.down.forward(&gated)
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
