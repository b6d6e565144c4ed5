//! Matrix products with a checkpoint's weights, dense or quantised, and several of them fused into one.

use super::quantization::Quantization;
use super::{cuda, kernels};
use mlx_rs::error::Result;
use mlx_rs::ops::{addmm, concatenate, dequantize, gather_mm, gather_qmm, quantized_matmul};
use mlx_rs::{Array, Dtype};

/// `x Wᵀ + b`. Shapes: weight [out, in] as in the checkpoint, x [.., in], result [.., out].
#[derive(Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<Array>,
}

/// A weight matrix [out, in] as the checkpoint or the device wants it.
#[derive(Debug)]
pub enum Weight {
    /// [in, out], as the product takes it.
    Dense { transposed: Array, order: Order },
    /// Packed by MLX.
    Quantized { packed: Array, scales: Array, biases: Array, quantization: Quantization },
}

/// In which order a dense matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As in the checkpoint: an output's weights are neighbours.
    OutputsFirst,
    /// Transposed: an input's weights are neighbours. A CPU's BLAS copies such a matrix into its own blocks with whole
    /// vectors, which for a few rows is most of a product's cost.
    InputsFirst,
}

impl Weight {
    /// A dense weight [out, in], or a stack of them [experts, out, in].
    pub fn dense(weight: &Array, order: Order) -> Result<Self> {
        let transposed = weight.swap_axes(-1, -2)?;
        let transposed = if order == Order::InputsFirst { transposed.contiguous()? } else { transposed };
        Ok(Self::Dense { transposed, order })
    }

    /// Unpacks to `dtype`; a matrix that was packed then lies in `order`.
    pub fn dequantized(self, dtype: Dtype, order: Order) -> Result<Self> {
        match self {
            Self::Dense { transposed, order } => Ok(Self::Dense { transposed: transposed.as_dtype(dtype)?, order }),
            Self::Quantized { packed, scales, biases, quantization } => {
                let weight = dequantize(
                    &packed,
                    scales.as_dtype(dtype)?,
                    &biases.as_dtype(dtype)?,
                    quantization.group_size,
                    quantization.bits,
                )?;
                Self::dense(&weight.as_dtype(dtype)?, order)
            }
        }
    }

    /// `x Wᵀ`.
    pub fn product(&self, x: &Array) -> Result<Array> {
        match self {
            Self::Dense { transposed, .. } => {
                kernels::dense_product(x, transposed).unwrap_or_else(|| x.matmul(transposed))
            }
            Self::Quantized { packed, scales, biases, quantization } => {
                let (group_size, bits) = (quantization.group_size, quantization.bits);
                if let Some(matrix) = self.matrix().filter(|matrix| matrix.takes(x)) {
                    matrix.product(x, cuda::Around::Nothing)
                } else if cuda::is_unsafe(x.size() as i32 / self.inputs(), *quantization) {
                    x.matmul(dequantize(packed, scales, biases, group_size, bits)?.t())
                } else {
                    quantized_matmul(x, packed, scales, biases, true, group_size, bits)
                }
            }
        }
    }

    /// The matrix as the kernels for an NVIDIA GPU take it, where they do.
    pub fn matrix(&self) -> Option<cuda::Matrix> {
        match self {
            _ if !cuda::is_available() => None,
            Self::Dense { transposed, .. } if transposed.ndim() == 2 => cuda::Matrix::dense(&transposed.t()),
            Self::Quantized { packed, scales, biases, quantization } if packed.ndim() == 2 => {
                cuda::Matrix::packed(packed, scales, biases, *quantization)
            }
            _ => None,
        }
    }

    /// `x Wᵀ` with the matrix of a stack that `experts` [.., k] names: x [.., 1 or k, 1, in] → [.., k, 1, out].
    pub fn product_of_experts(&self, x: &Array, experts: &Array) -> Result<Array> {
        match self {
            Self::Dense { transposed, .. } => gather_mm(x, transposed, None, experts, false),
            Self::Quantized { packed, scales, biases, quantization } => {
                let (group_size, bits) = (quantization.group_size, quantization.bits);
                gather_qmm(x, packed, scales, biases, None, experts, true, group_size, bits, false)
            }
        }
    }

    /// Whether MLX's products of many rows with it are wrong now and then.
    pub fn is_unsafe(&self) -> bool {
        match self {
            Self::Dense { .. } => false,
            Self::Quantized { quantization, .. } => cuda::is_unsafe(i32::MAX, *quantization),
        }
    }

    /// Rows `ids` [..] of W, unpacked: [.., in].
    pub fn rows(&self, ids: &Array) -> Result<Array> {
        match self {
            Self::Dense { transposed, .. } => transposed.t().take_axis(ids, 0),
            Self::Quantized { packed, scales, biases, quantization } => dequantize(
                packed.take_axis(ids, 0)?,
                scales.take_axis(ids, 0)?,
                &biases.take_axis(ids, 0)?,
                quantization.group_size,
                quantization.bits,
            ),
        }
    }

    /// How many outputs the product has.
    pub fn outputs(&self) -> i32 {
        match self {
            Self::Dense { transposed, .. } => transposed.dim(-1),
            Self::Quantized { packed, .. } => packed.dim(-2),
        }
    }

    /// How many inputs the product has.
    pub fn inputs(&self) -> i32 {
        match self {
            Self::Dense { transposed, .. } => transposed.dim(0),
            Self::Quantized { packed, quantization, .. } => packed.dim(-1) * 32 / quantization.bits,
        }
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        match self {
            Self::Dense { transposed, .. } => vec![transposed],
            Self::Quantized { packed, scales, biases, .. } => vec![packed, scales, biases],
        }
    }

    /// One matrix with the outputs of all, where they are packed alike.
    fn stacked(weights: &[&Self]) -> Result<Option<Self>> {
        match weights {
            [Self::Dense { transposed: first, order }, ..] => {
                let mut parts = Vec::with_capacity(weights.len());
                for weight in weights {
                    match weight {
                        Self::Dense { transposed, .. } if transposed.dtype() == first.dtype() => parts.push(transposed),
                        _ => return Ok(None),
                    }
                }
                let transposed = match order {
                    Order::InputsFirst => concatenate(&parts, -1)?,
                    Order::OutputsFirst => concatenate(&parts.iter().map(|part| part.t()).collect::<Vec<_>>(), 0)?.t(),
                };
                Ok(Some(Self::Dense { transposed, order: *order }))
            }
            [Self::Quantized { quantization: first, .. }, ..] => {
                let (mut packed_parts, mut scale_parts, mut bias_parts) = (Vec::new(), Vec::new(), Vec::new());
                for weight in weights {
                    match weight {
                        Self::Quantized { packed, scales, biases, quantization } if quantization == first => {
                            packed_parts.push(packed);
                            scale_parts.push(scales);
                            bias_parts.push(biases);
                        }
                        _ => return Ok(None),
                    }
                }
                Ok(Some(Self::Quantized {
                    packed: concatenate(&packed_parts, 0)?,
                    scales: concatenate(&scale_parts, 0)?,
                    biases: concatenate(&bias_parts, 0)?,
                    quantization: *first,
                }))
            }
            [] => Ok(None),
        }
    }
}

impl Linear {
    /// `bias` has shape [out].
    pub fn new(weight: Weight, bias: Option<Array>) -> Self {
        Self { weight, bias }
    }

    /// x [.., in] → [.., out].
    pub fn forward(&self, x: &Array) -> Result<Array> {
        match (&self.weight, &self.bias) {
            (Weight::Dense { transposed, .. }, Some(bias)) => match kernels::dense_product(x, transposed) {
                Some(product) => product?.add(bias),
                None => addmm(bias, x, transposed, None, None),
            },
            (weight, None) => weight.product(x),
            (weight, Some(bias)) => weight.product(x)?.add(bias),
        }
    }

    /// The matrix.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// The matrix as the kernels for an NVIDIA GPU take it, where they do and nothing is added to its product.
    pub fn matrix(&self) -> Option<cuda::Matrix> {
        if self.bias.is_none() { self.weight.matrix() } else { None }
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        self.weight.arrays().into_iter().chain(&self.bias).collect()
    }
}

/// Several projections of the same input, done as one product where their weights are packed alike.
#[derive(Debug)]
pub enum Projections {
    /// One product; `ends` are the outputs' boundaries, the last one left out.
    Fused { linear: Linear, ends: Vec<i32> },
    /// One product each.
    Separate(Vec<Linear>),
}

impl Projections {
    /// Fuses what can be fused.
    pub fn new(linears: Vec<Linear>) -> Result<Self> {
        let weights: Vec<&Weight> = linears.iter().map(Linear::weight).collect();
        let biases: Vec<&Array> = linears.iter().filter_map(|linear| linear.bias.as_ref()).collect();
        let all_or_none = biases.is_empty() || biases.len() == linears.len();
        match Weight::stacked(&weights)? {
            Some(weight) if all_or_none => {
                let bias = if biases.is_empty() { None } else { Some(concatenate(&biases, 0)?) };
                let mut ends: Vec<i32> = weights
                    .iter()
                    .scan(0, |end, weight| {
                        *end += weight.outputs();
                        Some(*end)
                    })
                    .collect();
                ends.pop();
                Ok(Self::Fused { linear: Linear::new(weight, bias), ends })
            }
            _ => Ok(Self::Separate(linears)),
        }
    }

    /// The product that serves all of them, where one does.
    pub fn fused(&self) -> Option<&Linear> {
        match self {
            Self::Fused { linear, .. } => Some(linear),
            Self::Separate(_) => None,
        }
    }

    /// x [.., in] → one [.., out] for each projection.
    pub fn forward(&self, x: &Array) -> Result<Vec<Array>> {
        match self {
            Self::Fused { linear, ends } => linear.forward(x)?.split_at_indices(ends, -1),
            Self::Separate(linears) => linears.iter().map(|linear| linear.forward(x)).collect(),
        }
    }

    /// The matrices.
    pub fn weights(&self) -> Vec<&Weight> {
        match self {
            Self::Fused { linear, .. } => vec![linear.weight()],
            Self::Separate(linears) => linears.iter().map(Linear::weight).collect(),
        }
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        match self {
            Self::Fused { linear, .. } => linear.arrays(),
            Self::Separate(linears) => linears.iter().flat_map(Linear::arrays).collect(),
        }
    }
}
