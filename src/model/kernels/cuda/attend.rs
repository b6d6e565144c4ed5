//! Attention of rows that each see some places of a cache.

use super::computes_in;
use super::kernel::{Constant, Grid, Kernel, Source};
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

/// What a row sees: places of one room of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The room.
    pub room: i32,
    /// The first place.
    pub start: i32,
    /// The place behind the last.
    pub end: i32,
}

/// The kernel.
#[derive(Debug)]
pub(super) struct Attend(Kernel);

impl Attend {
    pub fn new() -> Self {
        Self(Kernel::new(&ATTEND))
    }

    /// Whether such heads are attended here.
    pub fn takes(head_dim: i32, dtype: Dtype) -> bool {
        head_dim % 32 == 0 && head_dim <= 256 && computes_in(dtype)
    }

    /// queries `[rows, heads, head_dim]`, keys and values `[rooms, kv_heads, places, head_dim]`, what each row sees →
    /// `[rows, heads · head_dim]`.
    pub fn apply(&self, queries: &Array, held: [&Array; 2], spans: &[Span], scale: f32) -> Result<Array> {
        let [keys, values] = held;
        let (rows, heads, head_dim) = (queries.dim(0), queries.dim(1), queries.dim(2));
        let numbers: Vec<i32> = spans.iter().flat_map(|span| [span.room, span.start, span.end]).collect();
        let spans = Array::from_slice(&numbers, &[rows, 3]);
        let constants = [
            (c"D", Constant::Number(head_dim)),
            (c"SHARED", Constant::Number(heads / keys.dim(1))),
            (c"SCALE", Constant::Number(scale.to_bits() as i32)),
            (c"T", Constant::Type(queries.dtype())),
        ];
        let (inputs, shape) = ([queries, keys, values, &spans], [rows, heads * head_dim]);
        let grid = Grid { blocks: [heads, rows], threads: THREADS };
        self.0.apply(&inputs, &constants, &grid, &shape, queries.dtype())
    }
}
