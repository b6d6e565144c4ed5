//! One thread that owns the model and runs all sessions' steps. Knows neither MLX nor the window.

mod backend;

pub use backend::{Backend, BackendError, StepOutput};
