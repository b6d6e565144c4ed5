//! One thread that owns the model and runs all sessions' steps. Knows neither MLX nor the window.

mod backend;
mod command;
mod guard;
mod handle;
mod pace;
mod prompt;
mod reading;
pub mod scheduler;
mod session;
mod settings;
mod start;
mod steps;
mod worker;

pub use backend::{Backend, BackendError, StepOutput};
pub use handle::{EngineGone, EngineHandle, EventStream, SubmitError};
pub use pace::{Budget, Pace};
pub use prompt::{PromptRules, common_beginning};
pub use settings::EngineSettings;
pub use start::{LoadCancel, StartError, start};
