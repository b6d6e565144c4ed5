//! Products of a few rows with a matrix, dense or packed, together with what usually stands around them.

use super::super::around::{Around, Norm, Then};
use super::super::matrix::{Matrix, Weights};
use super::computes_in;
use super::kernel::{Constant, Grid, Kernel, Source};
use crate::model::ops::Activation;
use mlx_rs::error::Result;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, Dtype};
use std::ffi::CStr;

/// Timed against MLX's up to 32 rows (docs/benchmarks.md); up to here a row's bits are the same in any number.
const MOST_ROWS: i32 = 64;
/// What a tensor core takes at once.
const TILE: i32 = 8;
/// Tiles of a block that has more than one: each number is a kernel of its own, which takes a load two seconds to compile.
const MOST_TILES: i32 = 4;
/// For products without a norm, so that in most models one kernel serves all.
const USUAL_EPSILON: f32 = 1e-6;
const OUTPUTS_OF_BLOCK: i32 = 16;
const THREADS: i32 = 256;

const HEADER: &str = include_str!("product.cuh");

const DENSE: Source = Source {
    name: c"product_dense",
    inputs: &[c"x", c"w", c"norm", c"added"],
    output: c"y",
    headers: &[HEADER],
    body: c"llmeval::product_as_asked<TILES, T>(
            x, y, x_shape[0], x_shape[1], w_shape[0], llmeval::DenseMatrix<T>{w},
            norm, norm_ndim, __int_as_float(EPSILON), added, added_ndim);",
    contiguous: true,
};

const PACKED: Source = Source {
    name: c"product_packed",
    inputs: &[c"x", c"w", c"scales", c"biases", c"norm", c"added"],
    output: c"y",
    headers: &[HEADER],
    body: c"llmeval::product_as_asked<TILES, T>(
            x, y, x_shape[0], x_shape[1], w_shape[0], llmeval::PackedMatrix<BITS, GROUP, T>{w, scales, biases},
            norm, norm_ndim, __int_as_float(EPSILON), added, added_ndim);",
    contiguous: true,
};

const DENSE_ROWS: Source = Source {
    name: c"rows_dense",
    inputs: &[c"ids", c"w"],
    output: c"y",
    headers: &[HEADER],
    body: c"llmeval::copy_row<T>(y + static_cast<long>(blockIdx.x) * INPUTS, ids[blockIdx.x], INPUTS,
            llmeval::DenseMatrix<T>{w});",
    contiguous: true,
};

const PACKED_ROWS: Source = Source {
    name: c"rows_packed",
    inputs: &[c"ids", c"w", c"scales", c"biases"],
    output: c"y",
    headers: &[HEADER],
    body: c"llmeval::copy_row<T>(y + static_cast<long>(blockIdx.x) * INPUTS, ids[blockIdx.x], INPUTS,
            llmeval::PackedMatrix<BITS, GROUP, T>{w, scales, biases});",
    contiguous: true,
};

/// What is done to a product's rows besides multiplying them, as far as the kernels do it.
#[derive(Clone, Copy, Debug)]
enum Asked<'a> {
    Nothing,
    Norm(Norm<'a>),
    NormAndGate(Norm<'a>),
    Add(&'a Array),
}

/// The kernels of products and of a matrix's rows, each for dense matrices and for packed ones.
#[derive(Debug)]
pub(super) struct Products {
    products: [Kernel; 2],
    rows: [Kernel; 2],
    /// For bf16 and f16 an array of one dimension and one of three, which say what is asked for and are never read.
    markers: [[Array; 2]; 2],
}

/// Whether MLX's product of so many rows with a packed matrix must be avoided: its kernel begins to store its results
/// where the last of its reads ahead may yet arrive.
pub(super) fn is_unsafe(rows: i32, matrix: &Matrix) -> bool {
    rows >= 8 && matrix.quantization().is_some_and(|quantization| matches!(quantization.bits, 4 | 8))
}

/// Whether the kernels take a matrix.
fn is_taken(matrix: &Matrix) -> bool {
    let unpacks = matrix.quantization().is_none_or(|quantization| {
        matches!(quantization.bits, 4 | 8) && matches!(quantization.group_size, 32 | 64 | 128)
    });
    unpacks && !matrix.is_stack() && matrix.inputs() % 64 == 0 && computes_in(matrix.dtype())
}

fn asked<'a>(matrix: &Matrix, around: Around<'a>) -> Option<Asked<'a>> {
    let is_taken = |norm: Norm<'_>| norm.weight.dtype() == matrix.dtype() && norm.weight.shape() == [matrix.inputs()];
    // A block's outputs are those of one tile.
    let takes_gate = matrix.outputs() % OUTPUTS_OF_BLOCK == 0;
    match (around.norm, around.then) {
        _ if around.bias.is_some() => None,
        (None, Then::Nothing) => Some(Asked::Nothing),
        (Some(norm), Then::Nothing) if is_taken(norm) => Some(Asked::Norm(norm)),
        (Some(norm), Then::Gate(Activation::Silu)) if is_taken(norm) && takes_gate => Some(Asked::NormAndGate(norm)),
        (None, Then::Add(added)) if added.dtype() == matrix.dtype() => Some(Asked::Add(added)),
        _ => None,
    }
}

impl Products {
    pub fn new() -> Result<Self> {
        let of = |dtype| -> Result<[Array; 2]> { Ok([zeros_dtype(&[1], dtype)?, zeros_dtype(&[1, 1, 1], dtype)?]) };
        Ok(Self {
            products: [Kernel::new(&DENSE), Kernel::new(&PACKED)],
            rows: [Kernel::new(&DENSE_ROWS), Kernel::new(&PACKED_ROWS)],
            markers: [of(Dtype::Bfloat16)?, of(Dtype::Float16)?],
        })
    }

    /// x Wᵀ with what stands around it, where the kernels compute that: `[rows, in]` → `[rows, out]`, or half of it with a gate.
    pub fn product(&self, x: &Array, matrix: &Matrix, around: Around<'_>) -> Option<Result<Array>> {
        let fits =
            is_taken(matrix) && x.ndim() == 2 && (1..=MOST_ROWS).contains(&x.dim(0)) && x.dtype() == matrix.dtype();
        let asked = asked(matrix, around).filter(|_| fits)?;
        let is_gated = matches!(asked, Asked::NormAndGate(_));
        let (rows, columns) = (x.dim(0), matrix.outputs() / if is_gated { 2 } else { 1 });
        let tiles = if rows <= TILE { 1 } else { MOST_TILES };
        let blocks =
            [(matrix.outputs() + OUTPUTS_OF_BLOCK - 1) / OUTPUTS_OF_BLOCK, (rows + tiles * TILE - 1) / (tiles * TILE)];
        let grid = Grid { blocks, threads: THREADS };
        let (norm, epsilon) = match asked {
            Asked::Norm(norm) | Asked::NormAndGate(norm) => (norm.weight, norm.eps),
            Asked::Nothing | Asked::Add(_) => (x, USUAL_EPSILON),
        };
        let constants = [(c"TILES", Constant::Number(tiles)), (c"EPSILON", Constant::Number(epsilon.to_bits() as i32))];
        let [nothing, gate] = &self.markers[usize::from(matrix.dtype() == Dtype::Float16)];
        let added = match asked {
            Asked::Nothing | Asked::Norm(_) => nothing,
            Asked::NormAndGate(_) => gate,
            Asked::Add(added) => added,
        };
        Some(apply(&self.products, matrix, x, &[norm, added], &constants, &grid, &[rows, columns]))
    }

    /// Rows `ids` (u32 `[rows]`) of W, where the kernels take it: `[rows, in]`.
    pub fn rows(&self, matrix: &Matrix, ids: &Array) -> Option<Result<Array>> {
        if !is_taken(matrix) {
            return None;
        }
        let grid = Grid { blocks: [ids.dim(0), 1], threads: THREADS };
        let constants = [(c"INPUTS", Constant::Number(matrix.inputs()))];
        let shape = [ids.dim(0), matrix.inputs()];
        Some(apply(&self.rows, matrix, ids, &[], &constants, &grid, &shape))
    }
}

/// One of two kernels, for a dense matrix and for a packed one, whose inputs are `first`, the matrix and the `others`.
fn apply(
    kernels: &[Kernel; 2],
    matrix: &Matrix,
    first: &Array,
    others: &[&Array],
    constants: &[(&'static CStr, Constant)],
    grid: &Grid,
    shape: &[i32],
) -> Result<Array> {
    let mut all = constants.to_vec();
    all.push((c"T", Constant::Type(matrix.dtype())));
    let mut inputs = vec![first];
    let kernel = match &matrix.weights {
        Weights::Dense { weight, .. } => {
            inputs.push(weight);
            &kernels[0]
        }
        Weights::Packed { packed, scales, biases, quantization } => {
            inputs.extend([packed, scales, biases]);
            all.push((c"BITS", Constant::Number(quantization.bits)));
            all.push((c"GROUP", Constant::Number(quantization.group_size)));
            &kernels[1]
        }
    };
    inputs.extend(others);
    kernel.apply(&inputs, &all, grid, shape, matrix.dtype())
}
