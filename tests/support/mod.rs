//! What several topics need: a backend that follows a script, an engine that is elsewhere, checkpoints to be changed.

pub mod checkpoint;
pub mod remote;
pub mod scripted;
