//! A session's life, in tokio tasks: prompt to ids, ids to text, the parallel run, its results.

mod clock;
mod conversation;
mod follow;
mod job;
mod live;
mod loaded;
mod local;
mod parallel;
mod record;
mod registry;
pub mod report;
mod reporter;
pub mod scaling;
mod source;
mod stop;
mod tools;
pub mod verify;

pub use conversation::{Conversation, ConversationSettings, Exchange};
pub use job::{Input, Job};
pub use loaded::{LoadError, LoadedModel};
pub use parallel::ParallelRun;
pub use registry::{Promise, Registry};
pub use reporter::Wake;
pub use source::{Answer, AnswerEvent, Piece, Source, Started, Starting};
pub use stop::StopHandle;
pub use tools::Tools;
