//! Kernels of our own for x86 processors with AVX-512, where MLX's CPU library has none.
//!
//! MLX computes in one thread there, number by number, and a BLAS copies all weights into blocks of its own for every
//! product, which for a decode step's few rows costs more than the arithmetic. These share their work among threads, read
//! weights once and in the checkpoint's order, and give a row the same bits beside any others (docs/benchmarks.md).
//! Elsewhere nothing of this is used: on macOS MLX has kernels for its GPU, and other processors keep MLX's own.

mod attend;
mod gated;
mod heads;
mod norm;
mod operand;
mod operation;
mod product;
mod team;
#[cfg(test)]
mod tests;
mod tile;
mod vector;

pub use attend::attend_in_place;
pub use gated::gated;
pub use heads::{Heads, normed_and_rotated};
pub use norm::rms_norm;
pub use operation::unwritten;
pub use product::product;

use super::device::is_gpu;
use mlx_rs::{Array, Dtype};
use std::sync::OnceLock;

/// With `mlx` in this environment variable everything is left to MLX's own operations, as on processors without AVX-512
/// and, but for attention, on macOS.
const KERNELS: &str = "LLMEVAL_KERNELS";

/// Whether MLX computes on a processor that has what these need.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        !is_gpu()
            && std::env::var_os(KERNELS).is_none_or(|kernels| kernels != "mlx")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
    })
}

/// Whether these compute with `x`.
pub fn computes(x: &Array) -> bool {
    is_available() && x.dtype() == Dtype::Float32
}
