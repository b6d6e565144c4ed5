//! What several topics need: a backend that follows a script, and checkpoints to be changed.

pub mod checkpoint;
pub mod scripted;
