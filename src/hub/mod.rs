//! Which models exist, how they come to this machine, and whether their files are whole. Weights are never read here.

mod cache;
mod catalog;
mod client;
pub mod config_json;
mod download;
mod error;
mod files;
pub mod gguf;
mod hash;
mod inspect;
mod json;
mod partial;
mod peek;
mod progress;
mod refusal;
mod registry;
mod repository;
pub mod safetensors;
mod settings;
mod starter;
mod token;

pub use catalog::Machine;
pub use client::{Hub, resolve};
pub use error::HubError;
pub use files::{FolderFiles, ModelFiles};
pub use inspect::inspect;
pub use json::read_json;
pub use registry::{extra_stop_tokens, registry, sampling_defaults};
pub use settings::HubSettings;
pub use starter::{STARTER_FILE, check_starter, starter_path};
pub use token::Token;
