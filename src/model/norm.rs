//! Root mean square norm (Zhang and Sennrich 2019).

use super::kernels;
use super::mlp::scalar;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::fast::rms_norm;

/// x / rms(x) · weight, over the last axis.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Array,
    eps: f32,
}

impl RmsNorm {
    /// `weight` has the shape of the last axis.
    pub fn new(weight: Array, eps: f32) -> Self {
        Self { weight, eps }
    }

    /// The norm whose weight is 1 + this one's: how Gemma stores them.
    pub fn one_plus(self) -> Result<Self> {
        Ok(Self { weight: self.weight.add(scalar(1.0, &self.weight)?)?, eps: self.eps })
    }

    /// x [.., dim] → [.., dim].
    pub fn forward(&self, x: &Array) -> Result<Array> {
        kernels::rms_norm(x, &self.weight, self.eps).unwrap_or_else(|| rms_norm(x, Some(&self.weight), self.eps))
    }

    /// ε.
    pub fn eps(&self) -> f32 {
        self.eps
    }

    /// The array to evaluate.
    pub fn array(&self) -> &Array {
        &self.weight
    }
}
