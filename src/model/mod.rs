//! Models on MLX: the only folder that knows mlx_rs. From files to weights, layers, KV caches, sampling and the
//! engine's backend.

mod architecture;
mod attention;
mod backend;
mod config;
mod convert;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cpu;
mod cuda;
mod decoder;
mod device;
mod error;
mod experts;
mod fused;
mod gemma2;
mod gemma3_text;
mod ggml;
mod gguf;
mod gguf_layout;
mod granite;
mod kernels;
mod kv;
mod launch;
mod linear;
mod llama;
mod load;
mod mistral;
mod mlp;
mod norm;
mod olmo2;
mod phi3;
mod prefill;
mod prefix;
mod probe;
mod quantization;
mod quantize;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod rope;
mod row;
mod sampler;
mod sandwich;
mod smollm3;
mod step;
mod weights;

pub use architecture::supported as supported_architectures;
pub use backend::MlxBackend;
pub use convert::{ConvertError, Converted, convert};
pub use device::ComputeDevice;
pub use error::ModelError;
pub use load::{can_quantize, check, check_config};
pub use quantization::Quantization;
pub use row::Row;
pub use step::MlxStep;
