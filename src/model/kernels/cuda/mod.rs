//! Kernels of our own for NVIDIA GPUs.
//!
//! MLX's (0.32.2) give a row other bits beside others than alone, its product with packed weights is wrong now and then
//! from eight rows on, and from two rows on the host spends most of a step on preparing them (docs/benchmarks.md). These give a
//! row the same bits beside any others and cost the host the same for any number of rows.

mod attend;
mod gated;
mod heads;
mod kernel;
mod newest;
mod nvidia;
mod product;
#[cfg(test)]
mod tests;

pub use nvidia::kernels;

use mlx_rs::Dtype;

/// Whether these kernels compute in `dtype`.
fn computes_in(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::Bfloat16 | Dtype::Float16)
}
