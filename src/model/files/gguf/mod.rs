//! GGUF files in the terms of config.json and of the mlx-community checkpoints.

mod checkpoint;
mod ggml;
mod layout;

pub use checkpoint::{GROUP_SIZE, config, tensors};
