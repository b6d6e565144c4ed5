//! Products of a few rows with a matrix, dense or packed, together with what usually stands around them.

use super::super::norm::RmsNorm;
use super::super::quantization::Quantization;
use super::kernel::{Constant, Grid, Kernel, Source};
use super::{computes_in, is_available};
use mlx_rs::error::Result;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, Dtype};
use std::cell::OnceCell;
use std::ffi::CStr;
use std::thread::LocalKey;

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

thread_local! {
    static DENSE_KERNEL: Kernel = Kernel::new(&DENSE);
    static PACKED_KERNEL: Kernel = Kernel::new(&PACKED);
    static DENSE_ROWS_KERNEL: Kernel = Kernel::new(&DENSE_ROWS);
    static PACKED_ROWS_KERNEL: Kernel = Kernel::new(&PACKED_ROWS);
    /// For each dtype an array of one dimension and one of three, which say what is asked for and are never read.
    static MARKERS: OnceCell<[[Array; 2]; 2]> = const { OnceCell::new() };
}

/// A matrix [out, in] that the kernels take.
#[derive(Clone, Debug)]
pub struct Matrix {
    weights: Weights,
    outputs: i32,
    inputs: i32,
    dtype: Dtype,
}

#[derive(Clone, Debug)]
enum Weights {
    Dense(Array),
    Packed { packed: Array, scales: Array, biases: Array, quantization: Quantization },
}

/// What is done to a product's rows besides multiplying them.
#[derive(Clone, Copy, Debug)]
pub enum Around<'a> {
    /// Nothing.
    Nothing,
    /// Before, a root mean square norm.
    Norm(&'a RmsNorm),
    /// Before, a norm; afterwards SiLU of the outputs' first half times their second.
    NormAndGate(&'a RmsNorm),
    /// Afterwards this is added, of the result's shape.
    Add(&'a Array),
}

/// Whether MLX's product of so many rows with a packed matrix must be avoided: its kernel begins to store its results
/// where the last of its reads ahead may yet arrive.
pub fn is_unsafe(rows: i32, quantization: Quantization) -> bool {
    is_available() && rows >= 8 && matches!(quantization.bits, 4 | 8)
}

fn markers(dtype: Dtype) -> Result<[Array; 2]> {
    MARKERS.with(|markers| {
        let known = match markers.get() {
            Some(known) => known,
            None => {
                let of =
                    |dtype| -> Result<[Array; 2]> { Ok([zeros_dtype(&[1], dtype)?, zeros_dtype(&[1, 1, 1], dtype)?]) };
                let made = [of(Dtype::Bfloat16)?, of(Dtype::Float16)?];
                markers.get_or_init(|| made)
            }
        };
        Ok(known[usize::from(dtype == Dtype::Float16)].clone())
    })
}

impl Matrix {
    /// A dense matrix [out, in], where the kernels take it.
    pub fn dense(weight: &Array) -> Option<Self> {
        let (outputs, inputs, dtype) = (weight.dim(0), weight.dim(1), weight.dtype());
        let weights = Weights::Dense(weight.clone());
        Self { weights, outputs, inputs, dtype }.where_taken()
    }

    /// A matrix [out, in] packed by MLX, where the kernels take it.
    pub fn packed(packed: &Array, scales: &Array, biases: &Array, quantization: Quantization) -> Option<Self> {
        let unpacks = matches!(quantization.bits, 4 | 8) && matches!(quantization.group_size, 32 | 64 | 128);
        let (outputs, inputs) = (packed.dim(0), packed.dim(-1) * 32 / quantization.bits);
        let [packed, scales, biases] = [packed, scales, biases].map(Array::clone);
        let dtype = scales.dtype();
        let weights = Weights::Packed { packed, scales, biases, quantization };
        if unpacks { Self { weights, outputs, inputs, dtype }.where_taken() } else { None }
    }

    fn where_taken(self) -> Option<Self> {
        (is_available() && self.inputs % 64 == 0 && computes_in(self.dtype)).then_some(self)
    }

    /// Whether the product with x [rows, in] is computed here.
    pub fn takes(&self, x: &Array) -> bool {
        x.ndim() == 2 && (1..=MOST_ROWS).contains(&x.dim(0)) && x.dtype() == self.dtype
    }

    /// Whether such a norm can be done with the product.
    pub fn takes_norm(&self, norm: &RmsNorm) -> bool {
        norm.array().dtype() == self.dtype && norm.array().shape() == [self.inputs]
    }

    /// Whether a gate can be done with the product: so that a block's outputs are those of one tile.
    pub fn takes_gate(&self) -> bool {
        self.outputs % OUTPUTS_OF_BLOCK == 0
    }

    /// x Wᵀ, for x that is taken: [rows, in] → [rows, out], or half of it with a gate.
    pub fn product(&self, x: &Array, around: Around<'_>) -> Result<Array> {
        let is_gated = matches!(around, Around::NormAndGate(_));
        let (rows, columns) = (x.dim(0), self.outputs / if is_gated { 2 } else { 1 });
        let tiles = if rows <= TILE { 1 } else { MOST_TILES };
        let blocks =
            [(self.outputs + OUTPUTS_OF_BLOCK - 1) / OUTPUTS_OF_BLOCK, (rows + tiles * TILE - 1) / (tiles * TILE)];
        let grid = Grid { blocks, threads: THREADS };
        let (norm, epsilon) = match around {
            Around::Norm(norm) | Around::NormAndGate(norm) => (norm.array(), norm.eps()),
            Around::Nothing | Around::Add(_) => (x, USUAL_EPSILON),
        };
        let constants = [(c"TILES", Constant::Number(tiles)), (c"EPSILON", Constant::Number(epsilon.to_bits() as i32))];
        let [nothing, gate] = markers(self.dtype)?;
        let added = match around {
            Around::Nothing | Around::Norm(_) => &nothing,
            Around::NormAndGate(_) => &gate,
            Around::Add(added) => added,
        };
        self.apply([&DENSE_KERNEL, &PACKED_KERNEL], x, &[norm, added], &constants, &grid, &[rows, columns])
    }

    /// Rows `ids` (u32 [rows]) of W: [rows, in].
    pub fn rows(&self, ids: &Array) -> Result<Array> {
        let grid = Grid { blocks: [ids.dim(0), 1], threads: THREADS };
        let constants = [(c"INPUTS", Constant::Number(self.inputs))];
        let shape = [ids.dim(0), self.inputs];
        self.apply([&DENSE_ROWS_KERNEL, &PACKED_ROWS_KERNEL], ids, &[], &constants, &grid, &shape)
    }

    /// One of two kernels, for a dense matrix and for a packed one, whose inputs are `first`, the matrix and the `others`.
    fn apply(
        &self,
        kernels: [&'static LocalKey<Kernel>; 2],
        first: &Array,
        others: &[&Array],
        constants: &[(&'static CStr, Constant)],
        grid: &Grid,
        shape: &[i32],
    ) -> Result<Array> {
        let mut all = constants.to_vec();
        all.push((c"T", Constant::Type(self.dtype)));
        let mut inputs = vec![first];
        let kernel = match &self.weights {
            Weights::Dense(weight) => {
                inputs.push(weight);
                kernels[0]
            }
            Weights::Packed { packed, scales, biases, quantization } => {
                inputs.extend([packed, scales, biases]);
                all.push((c"BITS", Constant::Number(quantization.bits)));
                all.push((c"GROUP", Constant::Number(quantization.group_size)));
                kernels[1]
            }
        };
        inputs.extend(others);
        kernel.with(|kernel| kernel.apply(&inputs, &all, grid, shape, self.dtype))
    }
}
