//! Attention of rows that each see some places of a cache.

use super::kernel::{Constant, Grid, Kernel, Source};
use super::{computes_in, is_available};
use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};

pub(super) const THREADS: i32 = 512;

const ATTEND: Source = Source {
    name: c"attend",
    inputs: &[c"queries", c"keys", c"values", c"spans"],
    output: c"attended",
    headers: &[include_str!("attend.cuh")],
    body: c"const int head = blockIdx.x / SHARED, row = blockIdx.y, room = spans[3 * row];
        llmeval::attend<D, false, T>(
            queries + row * queries_strides[0] + blockIdx.x * queries_strides[1],
            {keys + room * keys_strides[0] + head * keys_strides[1], keys_strides[2]},
            {values + room * values_strides[0] + head * values_strides[1], values_strides[2]},
            nullptr, attended + (static_cast<long>(row) * gridDim.x + blockIdx.x) * D,
            spans[3 * row + 1], spans[3 * row + 2], __int_as_float(SCALE));",
    contiguous: false,
};

thread_local! {
    static KERNEL: Kernel = Kernel::new(&ATTEND);
}

/// Whether such heads are attended here.
pub fn attends(head_dim: i32, dtype: Dtype) -> bool {
    is_available() && head_dim % 32 == 0 && head_dim <= 256 && computes_in(dtype)
}

/// queries [rows, heads, head_dim], keys and values [rooms, kv_heads, places, head_dim], spans i32 [rows, 3] →
/// [rows, heads · head_dim]. A row that sees nothing gets zeros.
pub fn attend(queries: &Array, keys: &Array, values: &Array, spans: &Array, scale: f32) -> Result<Array> {
    let (rows, heads, head_dim) = (queries.dim(0), queries.dim(1), queries.dim(2));
    let constants = [
        (c"D", Constant::Number(head_dim)),
        (c"SHARED", Constant::Number(heads / keys.dim(1))),
        (c"SCALE", Constant::Number(scale.to_bits() as i32)),
        (c"T", Constant::Type(queries.dtype())),
    ];
    let (inputs, shape) = ([queries, keys, values, spans], [rows, heads * head_dim]);
    let grid = Grid { blocks: [heads, rows], threads: THREADS };
    KERNEL.with(|kernel| kernel.apply(&inputs, &constants, &grid, &shape, queries.dtype()))
}
