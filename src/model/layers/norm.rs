//! Root mean square norm (Zhang and Sennrich 2019).

use crate::model::kernels::Norm;
use crate::model::ops::scalar;
use mlx_rs::Array;
use mlx_rs::error::Result;

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

    /// As kernels take it.
    pub fn norm(&self) -> Norm<'_> {
        Norm { weight: &self.weight, eps: self.eps }
    }

    /// The array to evaluate.
    pub fn array(&self) -> &Array {
        &self.weight
    }
}
