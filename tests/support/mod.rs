//! What several topics need: a backend that follows a script.

pub mod scripted;
