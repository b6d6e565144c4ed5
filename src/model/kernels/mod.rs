//! What the model's layers and caches have computed, each device in its own way.
//!
//! [`Kernels`] is what a device may do its own way; `Mlx` does everything by MLX's operations and is the reference that the
//! others are tested against. Which serve is chosen once, as a model is loaded ([`choose`]), and handed down; nothing outside
//! of this folder knows a device.

mod allocate;
mod around;
mod choice;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cpu;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "no_cpu.rs"]
mod cpu;
mod cuda;
mod heads;
mod matrix;
mod memory;
mod mlx;
mod operations;
mod pass;
mod rotation;
mod store;
#[cfg(test)]
mod tests;

pub use around::{Around, Norm, Then};
pub use choice::{KernelChoice, choose};
pub use heads::{HeadNorms, Heads};
pub use matrix::Matrix;
pub use memory::KvMemory;
pub use operations::Kernels;
pub use pass::{AttentionSettings, Company, Layout, Part, Rows, Step, Tokens, window_start};
pub use rotation::{Angles, Positions, Rotation};
pub use store::{KvShape, KvSnapshot, KvStore};
