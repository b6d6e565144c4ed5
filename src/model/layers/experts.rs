//! A mixture of experts: many small MLPs, of which each token passes the few that a router chooses.

use super::linear::Linear;
use crate::model::kernels::{Kernels, Matrix};
use crate::model::ops::Activation;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::{Ellipsis, TryIndexOp};
use mlx_rs::ops::{argpartition_axis, softmax_axis};

/// The router and its experts.
#[derive(Debug)]
pub struct MixtureOfExperts {
    /// The router, `[experts, hidden]`.
    pub gate: Linear,
    /// Stack `[experts, inner, hidden]`.
    pub gate_proj: Matrix,
    /// Stack `[experts, inner, hidden]`.
    pub up_proj: Matrix,
    /// Stack `[experts, hidden, inner]`.
    pub down_proj: Matrix,
    /// How many experts a token passes.
    pub experts_per_token: i32,
    /// Whether the chosen experts' shares are scaled to sum to 1.
    pub normalise: bool,
    /// What stands between an expert's products.
    pub activation: Activation,
}

impl MixtureOfExperts {
    /// x `[T, hidden]` → `[T, hidden]`.
    pub fn forward(&self, kernels: &dyn Kernels, x: &Array) -> Result<Array> {
        let shares = softmax_axis(self.gate.forward(kernels, x)?, -1, true)?;
        let first = shares.dim(-1) - self.experts_per_token;
        // Ascending up to the first of the chosen: what follows it are the largest.
        let chosen = match first {
            0 => argpartition_axis(&shares, 0, -1)?,
            first => argpartition_axis(&shares, first, -1)?.try_index((Ellipsis, first..))?,
        };
        let mut shares = shares.take_along_axis(&chosen, -1)?;
        if self.normalise {
            shares = shares.divide(shares.sum_axis(-1, true)?)?;
        }
        let each = x.expand_dims_axes(&[-2, -3])?;
        let gated = self.activation.apply(&kernels.product_of_experts(&each, &self.gate_proj, &chosen)?)?;
        let inner = gated.multiply(kernels.product_of_experts(&each, &self.up_proj, &chosen)?)?;
        let outputs = kernels.product_of_experts(&inner, &self.down_proj, &chosen)?.squeeze_axes(&[-2])?;
        outputs.multiply(shares.expand_dims(-1)?.as_dtype(outputs.dtype())?)?.sum_axis(-2, false)
    }

    /// Whether products with the experts' matrices are right every time.
    pub fn is_reliable(&self, kernels: &dyn Kernels) -> bool {
        [&self.gate_proj, &self.up_proj, &self.down_proj].iter().all(|stack| kernels.is_reliable(stack))
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        let stacks = [&self.gate_proj, &self.up_proj, &self.down_proj];
        stacks.into_iter().flat_map(Matrix::arrays).chain(self.gate.arrays()).collect()
    }
}
