//! GGUF files in the terms of config.json and of the mlx-community checkpoints.

mod checkpoint;
mod conversion;
mod ggml;

pub use checkpoint::{GROUP_SIZE, config, tensors};
