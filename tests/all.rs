//! The one integration binary: a module per topic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

/// Who may import whom.
mod architecture;
/// A model that can't run is refused in one sentence.
mod bad_models;
/// The real binary on a tiny model: options, JSON, exit codes, Ctrl-C.
mod command_line;
/// Conversations: rounds, thoughts and tool calls, without a window.
mod conversation;
/// A dense checkpoint is quantised as mlx-lm's converter does.
mod convert;
/// Downloads end with whole and right files, or say why not.
mod downloads;
/// The real program on a display of its own, with the starter model and a real mouse.
#[cfg(feature = "window")]
mod e2e;
/// The engine's promises, on a scripted backend.
mod engine;
/// Exact execution on real MLX: no session depends on the others, and a leak is found.
mod exact;
/// GGUF headers are checked before MLX sees the file.
mod gguf;
/// Several loaded models in one process, and memory that counts all of them.
mod loaded_models;
/// A hub on this machine for tests of downloads.
mod local_hub;
/// A model's folder is complete before anything is loaded.
mod model_files;
/// Reads the tiny models and what Python mlx-lm computed with them.
mod model_fixtures;
/// `llmeval models` as a person runs it.
mod models_command;
/// A build without the window says what to do instead.
#[cfg(not(feature = "window"))]
mod no_window;
/// The embedding or a head of its own gives the logits, as in mlx-lm.
mod output_matrix;
/// Our models compute what Python mlx-lm computes.
mod parity;
/// The app's own files, one window at a time, the menu's table.
mod platform;
/// The models that a person can choose.
mod registry;
/// The console report, character for character.
mod report;
/// Which session's prompt is read next, and how much of it.
mod scheduler;
/// Sessions and parallel runs over a scripted engine and a real tokenizer.
mod session;
/// Layers with a sliding window don't see what lies before it.
mod sliding_window;
/// Sessions on an engine that is elsewhere and tells less.
mod sources;
/// The starter model is the one that set-up wrote.
mod starter;
/// What several topics need.
mod support;
/// Answers are split into words, thoughts and tool calls.
mod text_segments;
/// An answer's text as its tokens come.
mod text_stream;
/// Chat templates render as Python's transformers does.
mod text_template;
/// Tokenizers give the ids that Python gives.
mod text_tokenizer;
/// Verification finds nothing where sessions are isolated, and finds a leak where there is one.
mod verify;
/// The window, driven by accessible label over the scripted engine.
#[cfg(feature = "window")]
mod window;
