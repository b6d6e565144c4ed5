//! What a model's files hold: configuration, tensors by name, how they are packed. Nothing here knows a layer.

mod config;
pub mod gguf;
mod quantization;
mod quantize;
mod weights;

pub use config::{Config, RopeScaling};
pub use quantize::Quantizer;
pub use weights::{Stored, Weights};
