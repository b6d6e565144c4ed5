//! One thread that owns the model and runs all sessions' steps. Knows neither MLX nor the window.

mod backend;
mod guard;
mod handle;
mod scheduler;
mod session;
mod settings;
mod worker;

pub use backend::{Backend, BackendError, StepOutput};
pub use handle::{EngineGone, EngineHandle, EventStream, LoadCancel, StartError, start};
pub use scheduler::{PrefillChunk, PrefillPace, Stage, next_prefill};
pub use settings::EngineSettings;
