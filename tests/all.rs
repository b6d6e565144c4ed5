//! The one integration binary: a module per topic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

/// GGUF headers are checked before MLX sees the file.
mod gguf;
/// A model's folder is complete before anything is loaded.
mod model_files;
/// The starter model is the one that set-up wrote.
mod starter;
