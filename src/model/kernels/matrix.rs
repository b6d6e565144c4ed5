//! A weight matrix, or a stack of them, as products take it: dense, or packed by MLX.

use crate::model::quantization::Quantization;
use mlx_rs::error::Result;
use mlx_rs::ops::{concatenate, dequantize};
use mlx_rs::{Array, Dtype};

/// A matrix `[out, in]`, or a stack `[experts, out, in]`.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub(super) weights: Weights,
    outputs: i32,
    inputs: i32,
    is_stack: bool,
    dtype: Dtype,
}

/// The numbers of a matrix. Arrays are handles: what is a view of another takes no memory of its own.
#[derive(Clone, Debug)]
pub(super) enum Weights {
    /// The same numbers `[.., out, in]` and, as products take them, `[.., in, out]`.
    Dense { weight: Array, transposed: Array, order: Order },
    /// `packed` u32 `[.., out, in · bits / 32]`, `scales` and `biases` `[.., out, in / group_size]`.
    Packed { packed: Array, scales: Array, biases: Array, quantization: Quantization },
}

/// In which order a dense matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the checkpoint: an output's weights are neighbours.
    OutputsFirst,
    /// Transposed: an input's weights are neighbours.
    InputsFirst,
}

impl Matrix {
    /// A dense matrix that lies as in the checkpoint.
    pub fn dense(weight: &Array) -> Result<Self> {
        Self::of_dense(weight.clone(), weight.swap_axes(-1, -2)?, Order::OutputsFirst)
    }

    /// A dense matrix, laid out anew so that an input's weights are neighbours.
    pub(super) fn inputs_first(weight: &Array) -> Result<Self> {
        let transposed = weight.swap_axes(-1, -2)?.contiguous()?;
        Self::of_dense(transposed.swap_axes(-1, -2)?, transposed, Order::InputsFirst)
    }

    fn of_dense(weight: Array, transposed: Array, order: Order) -> Result<Self> {
        let (outputs, inputs, is_stack, dtype) = (weight.dim(-2), weight.dim(-1), weight.ndim() > 2, weight.dtype());
        Ok(Self { weights: Weights::Dense { weight, transposed, order }, outputs, inputs, is_stack, dtype })
    }

    /// A matrix packed by MLX: `packed` u32 `[.., out, in · bits / 32]`, `scales` and `biases` `[.., out, in / group_size]`.
    pub fn packed(packed: Array, scales: Array, biases: Array, quantization: Quantization) -> Self {
        let (outputs, inputs) = (packed.dim(-2), packed.dim(-1) * 32 / quantization.bits);
        let (is_stack, dtype) = (packed.ndim() > 2, scales.dtype());
        Self { weights: Weights::Packed { packed, scales, biases, quantization }, outputs, inputs, is_stack, dtype }
    }

    /// The numbers, unpacked: `[.., out, in]`.
    pub fn numbers(&self) -> Result<Array> {
        match &self.weights {
            Weights::Dense { weight, .. } => Ok(weight.clone()),
            Weights::Packed { packed, scales, biases, quantization } => {
                dequantize(packed, scales, biases, quantization.group_size, quantization.bits)
            }
        }
    }

    /// How many outputs the product has.
    pub fn outputs(&self) -> i32 {
        self.outputs
    }

    /// How many inputs the product has.
    pub fn inputs(&self) -> i32 {
        self.inputs
    }

    /// The type of the numbers, packed ones' once they are unpacked.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Whether it is a stack of matrices.
    pub fn is_stack(&self) -> bool {
        self.is_stack
    }

    /// How it is packed.
    pub fn quantization(&self) -> Option<Quantization> {
        match &self.weights {
            Weights::Dense { .. } => None,
            Weights::Packed { quantization, .. } => Some(*quantization),
        }
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        match &self.weights {
            Weights::Dense { weight, order: Order::OutputsFirst, .. } => vec![weight],
            Weights::Dense { transposed, order: Order::InputsFirst, .. } => vec![transposed],
            Weights::Packed { packed, scales, biases, .. } => vec![packed, scales, biases],
        }
    }

    /// One matrix with the outputs of all, where they are packed alike.
    pub fn joined(matrices: &[&Self]) -> Result<Option<Self>> {
        match matrices.first().map(|first| (&first.weights, first.dtype)) {
            Some((Weights::Dense { order, .. }, dtype)) => {
                let parts = matrices.iter().map(|matrix| match &matrix.weights {
                    Weights::Dense { weight, transposed, .. } if matrix.dtype == dtype => Some([weight, transposed]),
                    _ => None,
                });
                let Some(parts) = parts.collect::<Option<Vec<[&Array; 2]>>>() else { return Ok(None) };
                let column = |which: usize| parts.iter().map(|part| part[which]).collect::<Vec<_>>();
                let joined = match order {
                    Order::OutputsFirst => Self::dense(&concatenate(&column(0), 0)?)?,
                    Order::InputsFirst => {
                        let transposed = concatenate(&column(1), -1)?;
                        Self::of_dense(transposed.swap_axes(-1, -2)?, transposed, Order::InputsFirst)?
                    }
                };
                Ok(Some(joined))
            }
            Some((Weights::Packed { quantization, .. }, _)) => {
                let parts = matrices.iter().map(|matrix| match &matrix.weights {
                    Weights::Packed { packed, scales, biases, quantization: own } if own == quantization => {
                        Some([packed, scales, biases])
                    }
                    _ => None,
                });
                let Some(parts) = parts.collect::<Option<Vec<[&Array; 3]>>>() else { return Ok(None) };
                let joined = |which: usize| concatenate(&parts.iter().map(|part| part[which]).collect::<Vec<_>>(), 0);
                Ok(Some(Self::packed(joined(0)?, joined(1)?, joined(2)?, *quantization)))
            }
            None => Ok(None),
        }
    }
}
