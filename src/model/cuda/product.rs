//! Products of a few rows with a matrix, dense or packed.

use super::super::quantization::Quantization;
use super::kernel::{Constant, Grid, Kernel, Source};
use super::{computes_in, is_available};
use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};

/// Timed against MLX's up to 32 rows (docs/benchmarks.md); up to here a row's bits are the same in any number.
const MOST_ROWS: i32 = 64;
/// What a tensor core takes at once.
const TILE: i32 = 8;
/// Most tiles of a block.
const MOST_TILES: i32 = 4;
const OUTPUTS_OF_BLOCK: i32 = 16;
const THREADS: i32 = 256;

const DENSE: Source = Source {
    name: c"product_dense",
    inputs: &[c"x", c"w"],
    output: c"y",
    header: include_str!("product.cuh"),
    body: c"auto weights = [&](uint32_t (&pairs)[8], long index) { llmeval::load(pairs, w, index); };
        llmeval::product<TILES, T>(x, y, x_shape[0], x_shape[1], w_shape[0], weights);",
    contiguous: true,
};

const PACKED: Source = Source {
    name: c"product_packed",
    inputs: &[c"x", c"w", c"scales", c"biases"],
    output: c"y",
    header: include_str!("product.cuh"),
    body: c"auto weights = [&](uint32_t (&pairs)[8], long index) {
          llmeval::unpack<BITS, GROUP, T>(pairs, w, scales, biases, index);
        };
        llmeval::product<TILES, T>(x, y, x_shape[0], x_shape[1], w_shape[0], weights);",
    contiguous: true,
};

thread_local! {
    static DENSE_KERNEL: Kernel = Kernel::new(&DENSE);
    static PACKED_KERNEL: Kernel = Kernel::new(&PACKED);
}

/// Whether x [rows, in] times a dense matrix [in, out] is computed here.
pub fn takes_dense(x: &Array, transposed: &Array) -> bool {
    is_available() && takes(x, transposed.dtype())
}

/// Whether x [rows, in] times a packed matrix is computed here.
pub fn takes_packed(x: &Array, scales: &Array, quantization: Quantization) -> bool {
    let unpacks = matches!(quantization.bits, 4 | 8) && matches!(quantization.group_size, 32 | 64 | 128);
    is_available() && unpacks && takes(x, scales.dtype())
}

fn takes(x: &Array, dtype: Dtype) -> bool {
    x.ndim() == 2
        && (2..=MOST_ROWS).contains(&x.dim(0))
        && x.dim(1) % 64 == 0
        && x.dtype() == dtype
        && computes_in(dtype)
}

/// Whether MLX's product of so many rows with a packed matrix must be avoided: its kernel begins to store its results
/// where the last of its reads ahead may yet arrive.
pub fn is_unsafe(rows: i32, quantization: Quantization) -> bool {
    is_available() && rows >= 8 && matches!(quantization.bits, 4 | 8)
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
    let tiles = ((rows + TILE - 1) / TILE).min(MOST_TILES);
    let rows_of_block = tiles * TILE;
    let blocks_of_rows = (rows + rows_of_block - 1) / rows_of_block;
    let blocks = [(outputs + OUTPUTS_OF_BLOCK - 1) / OUTPUTS_OF_BLOCK, blocks_of_rows];
    (tiles, Grid { blocks, threads: THREADS })
}
