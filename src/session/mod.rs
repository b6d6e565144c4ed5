//! A session's life, in tokio tasks: prompt to ids, ids to text, the parallel run, its results.

mod chat;
mod clock;
mod follow;
mod loaded;
mod parallel;
mod prepare;
mod record;
mod registry;
pub mod report;
mod reporter;
pub mod scaling;
mod stop;
pub mod verify;

pub use chat::{ChatGeneration, ChatRequest};
pub use loaded::{LoadError, LoadedModel};
pub use parallel::ParallelRun;
pub use prepare::Input;
pub use registry::{Promise, Registry};
pub use reporter::Wake;
pub use stop::StopHandle;
