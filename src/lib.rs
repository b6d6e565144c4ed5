//! Many LLM sessions at once over one shared MLX model.

pub mod engine;
pub mod hub;
pub mod model;
pub mod platform;
pub mod protocol;
pub mod session;
pub mod text;
