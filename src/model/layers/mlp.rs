//! The gated MLP that decoder layers end in.

use super::linear::{Linear, Projections};
use crate::model::kernels::{Kernels, Norm};
use crate::model::ops::Activation;
use mlx_rs::Array;
use mlx_rs::error::Result;

/// down(act(gate(x)) · up(x)); names as in the checkpoint's `mlp`.
#[derive(Debug)]
pub struct Mlp {
    /// `gate_proj` and `up_proj`.
    pub gate_up_proj: Projections,
    /// Back to the residual stream.
    pub down_proj: Linear,
    /// What stands between the products.
    pub activation: Activation,
}

impl Mlp {
    /// x `[T, hidden]`, normed before → act(gate(x)) · up(x), `[T, inner]`.
    pub fn inner(&self, kernels: &dyn Kernels, x: &Array, norm: Option<Norm<'_>>) -> Result<Array> {
        self.gate_up_proj.gated(kernels, x, norm, self.activation)
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        self.gate_up_proj.arrays().into_iter().chain(self.down_proj.arrays()).collect()
    }
}
