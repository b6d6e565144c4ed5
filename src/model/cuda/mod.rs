//! Kernels of our own for NVIDIA GPUs: products of few rows, and attention of one token a row.
//!
//! MLX's products of more than one row cost the host four times as much as those of one, its kernel for packed matrices
//! and eight rows or more is wrong now and then, and its attention of a token over more than 255 has other bits beside
//! others than alone (docs/gpu.md). These cost the same for every number of rows and give a row the same bits beside
//! any others.

mod kernel;

use super::quantization::Quantization;
use kernel::{Constant, Grid, Kernel, Source};
use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};
use std::sync::OnceLock;

/// The most rows of a product that is computed here; from one row MLX's own kernels are as fast.
const MOST_ROWS: i32 = 64;
/// From here on MLX's products of dense matrices are as fast.
const MOST_DENSE_ROWS: i32 = 32;
/// Rows of a block in units of what a tensor core takes.
const MOST_TILES: i32 = 4;

macro_rules! header {
    ($file:literal) => {
        match std::ffi::CStr::from_bytes_with_nul(concat!(include_str!($file), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("a source holds a zero"),
        }
    };
}

const DENSE: Source = Source {
    name: c"product_dense",
    inputs: &[c"x", c"w"],
    output: c"y",
    header: header!("product.cuh"),
    body: c"auto weights = [&](uint32_t (&pairs)[8], long index) { llmeval::load(pairs, w, index); };
        llmeval::product<TILES, T>(x, y, x_shape[0], x_shape[1], w_shape[0], weights);",
    contiguous: true,
};

const PACKED: Source = Source {
    name: c"product_packed",
    inputs: &[c"x", c"w", c"scales", c"biases"],
    output: c"y",
    header: header!("product.cuh"),
    body: c"auto weights = [&](uint32_t (&pairs)[8], long index) {
          llmeval::unpack<BITS, GROUP, T>(pairs, w, scales, biases, index);
        };
        llmeval::product<TILES, T>(x, y, x_shape[0], x_shape[1], w_shape[0], weights);",
    contiguous: true,
};

/// `seen` holds each row's room and the first place that it sees.
const ATTEND: Source = Source {
    name: c"attend",
    inputs: &[c"queries", c"keys", c"values", c"seen"],
    output: c"attended",
    header: header!("attend.cuh"),
    body: c"const int head = blockIdx.x / SHARED, row = blockIdx.y, room = seen[2 * row];
        llmeval::attend<D, T>(
            queries + row * queries_strides[0] + blockIdx.x * queries_strides[1],
            {keys + room * keys_strides[0] + head * keys_strides[1], keys_strides[2]},
            {values + room * values_strides[0] + head * values_strides[1], values_strides[2]},
            attended + (static_cast<long>(row) * gridDim.x + blockIdx.x) * D, seen[2 * row + 1], keys_shape[2], __int_as_float(SCALE));",
    contiguous: false,
};

thread_local! {
    static DENSE_KERNEL: Kernel = Kernel::new(&DENSE);
    static PACKED_KERNEL: Kernel = Kernel::new(&PACKED);
    static ATTEND_KERNEL: Kernel = Kernel::new(&ATTEND);
}

/// Whether MLX computes on an NVIDIA GPU.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(kernel::is_available)
}

/// Whether a product of x [rows, in] with a dense matrix [out, in] is better computed here.
pub fn takes_dense(x: &Array, weight: &Array) -> bool {
    is_available() && is_small(x, weight.dtype(), MOST_DENSE_ROWS)
}

/// Whether a product of x [rows, in] with a packed matrix [out, in] is better computed here.
pub fn takes_packed(x: &Array, scales: &Array, quantization: Quantization) -> bool {
    is_available() && is_unpacked_here(quantization) && is_small(x, scales.dtype(), MOST_ROWS)
}

/// Whether MLX's kernel for such a matrix and `rows` rows must be avoided: it begins to write its results where its last
/// reads ahead may yet arrive.
pub fn is_unsafe(rows: i32, quantization: Quantization) -> bool {
    is_available() && rows >= 8 && matches!(quantization.bits, 4 | 8)
}

fn is_unpacked_here(quantization: Quantization) -> bool {
    matches!(quantization.bits, 4 | 8) && matches!(quantization.group_size, 32 | 64 | 128)
}

fn is_small(x: &Array, dtype: Dtype, most_rows: i32) -> bool {
    x.ndim() == 2
        && (2..=most_rows).contains(&x.dim(0))
        && x.dim(1) % 64 == 0
        && x.dtype() == dtype
        && matches!(dtype, Dtype::Bfloat16 | Dtype::Float16)
}

/// x Wᵀ: x [rows, in], weight [out, in] → [rows, out].
pub fn dense_product(x: &Array, weight: &Array) -> Result<Array> {
    let (tiles, grid) = tiles(x.dim(0), weight.dim(0));
    let constants = [(c"TILES", Constant::Number(tiles)), (c"T", Constant::Type(x.dtype()))];
    let shape = [x.dim(0), weight.dim(0)];
    DENSE_KERNEL.with(|kernel| kernel.apply(&[x, weight], &constants, &grid, &shape, x.dtype()))
}

/// x Wᵀ: x [rows, in], W [out, in] packed → [rows, out].
pub fn packed_product(
    x: &Array,
    packed: &Array,
    scales: &Array,
    biases: &Array,
    quantization: Quantization,
) -> Result<Array> {
    let (tiles, grid) = tiles(x.dim(0), packed.dim(0));
    let constants = [
        (c"TILES", Constant::Number(tiles)),
        (c"BITS", Constant::Number(quantization.bits)),
        (c"GROUP", Constant::Number(quantization.group_size)),
        (c"T", Constant::Type(x.dtype())),
    ];
    let (inputs, shape) = ([x, packed, scales, biases], [x.dim(0), packed.dim(0)]);
    PACKED_KERNEL.with(|kernel| kernel.apply(&inputs, &constants, &grid, &shape, x.dtype()))
}

fn tiles(rows: i32, outputs: i32) -> (i32, Grid) {
    let tiles = ((rows + 7) / 8).min(MOST_TILES);
    let rows_of_block = tiles * 8;
    let blocks = [(outputs + 15) / 16, (rows + rows_of_block - 1) / rows_of_block];
    (tiles, Grid { blocks, threads: 256 })
}

/// Whether [`attend`] can take such heads.
pub fn attends(head_dim: i32, dtype: Dtype) -> bool {
    is_available() && head_dim % 32 == 0 && head_dim <= 256 && matches!(dtype, Dtype::Bfloat16 | Dtype::Float16)
}

/// What [`attend`] reads of a cache: for each row its room and the first place that it sees.
pub fn seen(rows: impl Iterator<Item = (i32, i32)>) -> Array {
    let pairs: Vec<i32> = rows.flat_map(|(room, first)| [room, first]).collect();
    Array::from_slice(&pairs, &[pairs.len() as i32 / 2, 2])
}

/// Attention of one token a row: queries [rows, heads, head_dim], keys and values [rooms, kv_heads, places, head_dim],
/// [`seen`] [rows, 2] → [rows, heads · head_dim]. A row that sees no place gets zeros.
pub fn attend(queries: &Array, keys: &Array, values: &Array, seen: &Array, scale: f32) -> Result<Array> {
    let (rows, heads, head_dim) = (queries.dim(0), queries.dim(1), queries.dim(2));
    let constants = [
        (c"D", Constant::Number(head_dim)),
        (c"SHARED", Constant::Number(heads / keys.dim(1))),
        (c"SCALE", Constant::Number(scale.to_bits() as i32)),
        (c"T", Constant::Type(queries.dtype())),
    ];
    let (inputs, shape) = ([queries, keys, values, seen], [rows, heads * head_dim]);
    let grid = Grid { blocks: [heads, rows], threads: 512 };
    ATTEND_KERNEL.with(|kernel| kernel.apply(&inputs, &constants, &grid, &shape, queries.dtype()))
}
