//! Queries and keys between their product and their attention: normed and rotated.

use super::super::around::Norm;
use super::super::heads::{HeadNorms, Heads};
use super::computes_in;
use super::kernel::{Constant, Grid, Kernel, Source};
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

/// Heads as the kernels take them.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadsPlan<'a> {
    /// Query heads.
    pub queries: i32,
    /// Key heads, and value heads.
    pub keys: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// The queries' and the keys' norm of each head, with one ε.
    pub norms: Option<[Norm<'a>; 2]>,
    /// Radians a place of each pair, f32 `[pairs]`.
    pub frequencies: &'a Array,
    /// Whether a pair's dimensions are neighbours; else they are half of the rotated dimensions apart.
    pub traditional: bool,
}

impl<'a> HeadsPlan<'a> {
    /// Of heads in `dtype`, where the kernels take them.
    pub fn of(heads: &Heads<'a>, dtype: Dtype) -> Option<Self> {
        let Heads { queries, keys, head_dim, norms, rotation } = *heads;
        let rotation = rotation?;
        let norms = match norms {
            HeadNorms::None => None,
            HeadNorms::EachHead(norms) => Some(norms),
            HeadNorms::AllHeads(_) => return None,
        };
        let are_taken = norms.is_none_or(|[first, second]| {
            first.eps == second.eps && first.weight.dtype() == dtype && second.weight.dtype() == dtype
        });
        let (frequencies, traditional) = (rotation.frequencies()?, rotation.angles().traditional);
        let plan = Self { queries, keys, head_dim, norms, frequencies, traditional };
        (are_taken && computes_in(dtype) && head_dim % 32 == 0 && head_dim <= 256).then_some(plan)
    }

    /// The weights of the queries' and the keys' norm, and their ε. Without norms nobody reads the weights, for which x stands
    /// in.
    pub fn norm_inputs(&self, x: &'a Array) -> (&'a Array, &'a Array, f32) {
        self.norms.map_or((x, x, 0.0), |[queries, keys]| (queries.weight, keys.weight, queries.eps))
    }
}

/// The kernel.
#[derive(Debug)]
pub(super) struct NormAndRotate(Kernel);

impl NormAndRotate {
    pub fn new() -> Self {
        Self(Kernel::new(&HEADS))
    }

    /// x `[rows, (queries + 2 · keys) · head_dim]`, places i32 `[rows]` → its queries and keys `[rows, queries + keys, head_dim]`.
    pub fn apply(&self, x: &Array, places: &Array, plan: &HeadsPlan<'_>) -> Result<Array> {
        let HeadsPlan { queries, keys, head_dim, norms, frequencies, traditional } = *plan;
        let (rows, heads) = (x.dim(0), queries + keys);
        let (query_norm, key_norm, epsilon) = plan.norm_inputs(x);
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
        let blocks = [(heads + HEADS_OF_BLOCK - 1) / HEADS_OF_BLOCK, rows];
        let grid = Grid { blocks, threads: 32 * HEADS_OF_BLOCK };
        let inputs = [x, query_norm, key_norm, places, frequencies];
        self.0.apply(&inputs, &constants, &grid, &[rows, heads, head_dim], x.dtype())
    }
}
