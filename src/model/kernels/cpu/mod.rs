//! Kernels of our own for x86 processors with AVX-512, where MLX's CPU library has none.
//!
//! MLX computes in one thread there, number by number, and a BLAS copies all weights into blocks of its own for every
//! product, which for a decode step's few rows costs more than the arithmetic. These share their work among threads, read
//! weights once and in the checkpoint's order, and give a row the same bits beside any others (docs/benchmarks.md).
//! Elsewhere nothing of this is used: on macOS MLX has kernels for its GPU, and other processors keep MLX's own.

mod attend;
mod avx512;
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

pub use avx512::kernels;
