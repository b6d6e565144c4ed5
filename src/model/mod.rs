//! Models on MLX: the only folder that knows mlx_rs. From files to weights, layers, KV caches, sampling and the
//! engine's backend.
//!
//! Each room imports only what stands below it: `backend` → `load`, `run` → `arch` → `layers` → `kv` → `kernels`, and beside
//! them `files`, which knows no layer. Which kernels serve is chosen in `load` and handed down.

mod arch;
mod backend;
mod convert;
mod device;
mod error;
mod files;
mod kernels;
mod kv;
mod layers;
mod load;
mod ops;
mod quantization;
mod run;

pub use arch::supported as supported_architectures;
pub use backend::MlxBackend;
pub use convert::{ConvertError, Converted, convert};
pub use device::ComputeDevice;
pub use error::ModelError;
pub use kernels::KernelChoice;
pub use load::{MlxOptions, can_quantize, check, check_config};
pub use quantization::Quantization;
pub use run::{MlxStep, Row};
