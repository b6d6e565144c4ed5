//! What stands between the products of a gated MLP.

use super::kernel::{Constant, Grid, Kernel, Source};
use mlx_rs::Array;
use mlx_rs::error::Result;

const THREADS: i32 = 256;

const GATED: Source = Source {
    name: c"gated",
    inputs: &[c"x"],
    output: c"y",
    headers: &[],
    body: c"const int width = x_shape[1] / 2, column = blockIdx.x * blockDim.x + threadIdx.x;
        if (column < width) {
          const T* row = x + static_cast<long>(blockIdx.y) * width * 2;
          const float gate = static_cast<float>(row[column]), up = static_cast<float>(row[width + column]);
          y[static_cast<long>(blockIdx.y) * width + column] = static_cast<T>(gate / (1.0f + expf(-gate)) * up);
        }",
    contiguous: true,
};

/// The kernel.
#[derive(Debug)]
pub(super) struct Gated(Kernel);

impl Gated {
    pub fn new() -> Self {
        Self(Kernel::new(&GATED))
    }

    /// SiLU of a row's first half times its second: x `[rows, 2 · inner]` → `[rows, inner]`.
    pub fn apply(&self, x: &Array) -> Result<Array> {
        let (rows, inner) = (x.dim(0), x.dim(1) / 2);
        let grid = Grid { blocks: [(inner + THREADS - 1) / THREADS, rows], threads: THREADS };
        let constants = [(c"T", Constant::Type(x.dtype()))];
        self.0.apply(&[x], &constants, &grid, &[rows, inner], x.dtype())
    }
}
