//! A mixture of experts: many small MLPs, of which each token passes the few that a router chooses.

use super::linear::{Linear, Weight};
use super::mlp::Activation;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::{Ellipsis, TryIndexOp};
use mlx_rs::ops::{argpartition_axis, softmax_axis};

/// The router and its experts.
#[derive(Debug)]
pub struct MixtureOfExperts {
    /// The router, [experts, hidden].
    pub gate: Linear,
    /// Stack [experts, inner, hidden].
    pub gate_proj: Weight,
    /// Stack [experts, inner, hidden].
    pub up_proj: Weight,
    /// Stack [experts, hidden, inner].
    pub down_proj: Weight,
    /// How many experts a token passes.
    pub experts_per_token: i32,
    /// Whether the chosen experts' shares are scaled to sum to 1.
    pub normalise: bool,
    /// What stands between an expert's products.
    pub activation: Activation,
}

impl MixtureOfExperts {
    /// x [T, hidden] → [T, hidden].
    pub fn forward(&self, x: &Array) -> Result<Array> {
        let shares = softmax_axis(self.gate.forward(x)?, -1, true)?;
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
        let gated = self.activation.apply(&self.gate_proj.product_of_experts(&each, &chosen)?)?;
        let inner = gated.multiply(self.up_proj.product_of_experts(&each, &chosen)?)?;
        let outputs = self.down_proj.product_of_experts(&inner, &chosen)?.squeeze_axes(&[-2])?;
        outputs.multiply(shares.expand_dims(-1)?.as_dtype(outputs.dtype())?)?.sum_axis(-2, false)
    }

    /// Whether this device's products with the experts' matrices are wrong now and then.
    pub fn is_unsafe(&self) -> bool {
        [&self.gate_proj, &self.up_proj, &self.down_proj].iter().any(|weight| weight.is_unsafe())
    }

    /// The matrices that all tokens pass.
    pub fn weights(&self) -> Vec<&Weight> {
        vec![self.gate.weight()]
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        let stacks = [&self.gate_proj, &self.up_proj, &self.down_proj];
        stacks.into_iter().flat_map(Weight::arrays).chain(self.gate.arrays()).collect()
    }
}
