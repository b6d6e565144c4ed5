//! Matrix products with a checkpoint's weights, and several of the same input done as one.

use crate::model::kernels::{Around, Kernels, Matrix, Norm, Then};
use crate::model::ops::Activation;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;

/// `x Wᵀ + b`. Shapes: weight `[out, in]` as in the checkpoint, x `[T, in]`, result `[T, out]`.
#[derive(Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Array>,
}

impl Linear {
    /// `bias` has shape `[out]`.
    pub fn new(weight: Matrix, bias: Option<Array>) -> Self {
        Self { weight, bias }
    }

    /// x `[T, in]` → `[T, out]`.
    pub fn forward(&self, kernels: &dyn Kernels, x: &Array) -> Result<Array> {
        self.product(kernels, x, None, Then::Nothing)
    }

    /// x `[T, in]`, normed before → `[T, out]`, or half of it with a gate.
    pub fn product(&self, kernels: &dyn Kernels, x: &Array, norm: Option<Norm<'_>>, then: Then<'_>) -> Result<Array> {
        kernels.product(x, &self.weight, Around { norm, bias: self.bias.as_ref(), then })
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        self.weight.arrays().into_iter().chain(&self.bias).collect()
    }
}

/// Several projections of the same input: one product where their weights are packed alike, else one each.
#[derive(Debug)]
pub struct Projections(Vec<Linear>);

impl Projections {
    /// Joins what can be joined.
    pub fn new(linears: Vec<Linear>) -> Result<Self> {
        let weights: Vec<&Matrix> = linears.iter().map(|linear| &linear.weight).collect();
        let biases: Vec<&Array> = linears.iter().filter_map(|linear| linear.bias.as_ref()).collect();
        let all_or_none = biases.is_empty() || biases.len() == linears.len();
        match Matrix::joined(&weights)? {
            Some(weight) if all_or_none => {
                let bias = if biases.is_empty() { None } else { Some(concatenate(&biases, 0)?) };
                Ok(Self::joined(Linear::new(weight, bias)))
            }
            _ => Ok(Self(linears)),
        }
    }

    /// Projections that the checkpoint holds as one.
    pub fn joined(linear: Linear) -> Self {
        Self(vec![linear])
    }

    /// x `[T, in]`, normed before → the outputs of all, side by side.
    pub fn forward(&self, kernels: &dyn Kernels, x: &Array, norm: Option<Norm<'_>>) -> Result<Array> {
        let [only] = self.0.as_slice() else { return self.each(kernels, x, norm) };
        only.product(kernels, x, norm, Then::Nothing)
    }

    /// x `[T, in]`, normed before → the activation of the first projection times the second.
    pub fn gated(
        &self,
        kernels: &dyn Kernels,
        x: &Array,
        norm: Option<Norm<'_>>,
        activation: Activation,
    ) -> Result<Array> {
        let [only] = self.0.as_slice() else { return kernels.gated(&self.each(kernels, x, norm)?, activation) };
        only.product(kernels, x, norm, Then::Gate(activation))
    }

    fn each(&self, kernels: &dyn Kernels, x: &Array, norm: Option<Norm<'_>>) -> Result<Array> {
        let normed = norm.map(|norm| kernels.rms_norm(x, norm)).transpose()?;
        let x = normed.as_ref().unwrap_or(x);
        let outputs = self.0.iter().map(|linear| linear.forward(kernels, x)).collect::<Result<Vec<_>>>()?;
        concatenate(&outputs, -1)
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        self.0.iter().flat_map(Linear::arrays).collect()
    }
}
