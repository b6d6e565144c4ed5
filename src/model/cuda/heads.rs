//! Queries and keys between their product and their attention: normed and rotated.

use super::kernel::{Constant, Grid, Kernel, Source};
use super::{computes_in, is_available};
use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};

/// A warp computes one head.
const HEADS_OF_BLOCK: i32 = 8;

const HEADS: Source = Source {
    name: c"heads",
    inputs: &[c"x", c"query_norm", c"key_norm", c"places", c"frequencies"],
    output: c"y",
    headers: &[include_str!("heads.cuh")],
    body: c"const int heads = QUERIES + KEYS, head = blockIdx.x * 8 + threadIdx.x / 32, row = blockIdx.y;
        if (head < heads) {
          llmeval::norm_and_rotate<D, ROTATED, TRADITIONAL, NORMED, T>(
              x + (static_cast<long>(row) * (heads + KEYS) + head) * D,
              head < QUERIES ? query_norm : key_norm,
              y + (static_cast<long>(row) * heads + head) * D,
              places[row], frequencies, __int_as_float(EPSILON));
        }",
    contiguous: true,
};

thread_local! {
    static KERNEL: Kernel = Kernel::new(&HEADS);
}

/// What is done to the heads.
#[derive(Debug)]
pub struct HeadsPlan<'a> {
    /// Query heads.
    pub queries: i32,
    /// Key heads, and value heads.
    pub keys: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// The weights [head_dim] of the queries' and the keys' root mean square norm and its ε, where there is one.
    pub norms: Option<(&'a Array, &'a Array, f32)>,
    /// Radians a place of each pair, f32 [pairs].
    pub frequencies: &'a Array,
    /// Whether a pair's dimensions are neighbours; else they are half of the rotated dimensions apart.
    pub traditional: bool,
}

impl HeadsPlan<'_> {
    /// Whether it is done here.
    pub fn is_taken(&self, dtype: Dtype) -> bool {
        let alike = self.norms.is_none_or(|(queries, keys, _)| queries.dtype() == dtype && keys.dtype() == dtype);
        is_available() && computes_in(dtype) && alike && self.head_dim % 32 == 0 && self.head_dim <= 256
    }
}

/// x [rows, (queries + 2 · keys) · head_dim], places i32 [rows] → its queries and keys [rows, queries + keys, head_dim].
pub fn normed_and_rotated(x: &Array, places: &Array, plan: &HeadsPlan<'_>) -> Result<Array> {
    let HeadsPlan { queries, keys, head_dim, norms, frequencies, traditional } = *plan;
    let (rows, heads) = (x.dim(0), queries + keys);
    // Without norms nobody reads their weights.
    let (query_norm, key_norm, epsilon) = norms.unwrap_or((x, x, 0.0));
    let constants = [
        (c"QUERIES", Constant::Number(queries)),
        (c"KEYS", Constant::Number(keys)),
        (c"D", Constant::Number(head_dim)),
        (c"ROTATED", Constant::Number(2 * frequencies.dim(0))),
        (c"TRADITIONAL", Constant::Number(traditional.into())),
        (c"NORMED", Constant::Number(norms.is_some().into())),
        (c"EPSILON", Constant::Number(epsilon.to_bits() as i32)),
        (c"T", Constant::Type(x.dtype())),
    ];
    let grid = Grid { blocks: [(heads + HEADS_OF_BLOCK - 1) / HEADS_OF_BLOCK, rows], threads: 32 * HEADS_OF_BLOCK };
    let inputs = [x, query_norm, key_norm, places, frequencies];
    KERNEL.with(|kernel| kernel.apply(&inputs, &constants, &grid, &[rows, heads, head_dim], x.dtype()))
}
