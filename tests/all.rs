//! The one integration binary: a module per topic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

/// Downloads end whole and right, or say why not.
mod downloads;
/// The engine's promises, on a scripted backend.
mod engine;
/// GGUF headers are checked before MLX sees the file.
mod gguf;
/// A hub on this machine for tests of downloads.
mod local_hub;
/// A model's folder is complete before anything is loaded.
mod model_files;
/// Which session's prompt is read next, and how much of it.
mod scheduler;
/// One window at a time, the menu's table, the app's own files.
mod platform;
/// The starter model is the one that set-up wrote.
mod starter;
/// What several topics need.
mod support;
/// An answer's text as its tokens come.
mod text_stream;
/// Chat templates render as Python's transformers does.
mod text_template;
/// Tokenizers give the ids that Python gives.
mod text_tokenizer;
