//! Many LLM sessions at once over one shared MLX model.
//!
//! The front door is [`evaluation`]: load a model, evaluate prompts in parallel, watch events or read a report. What
//! lies behind it, each folder importing only what stands above it:
//!
//! - [`protocol`]: plain data that all layers speak
//! - [`text`]: chat templates, tokens to text; [`hub`]: model files; [`engine`]: the thread that runs all sessions
//! - [`model`]: the engine's backend on MLX, the only code that knows MLX
//! - [`session`]: a session's life in tokio tasks, the parallel run, its report
//! - [`platform`]: what differs between macOS and Linux
//! - [`state`]: what the window shows, as plain data; `ui`: draws it and returns actions
//! - `app`: the window around both; [`cli`]: the command line
//!
//! Without the feature `window`, which is on by default, `ui` and `app` are not built, nor anything that draws.
//!
//! ARCHITECTURE.md draws the same map and follows a session through it.

#[cfg(feature = "window")]
pub mod app;
pub mod cli;
pub mod engine;
pub mod evaluation;
pub mod hub;
pub mod model;
pub mod platform;
pub mod protocol;
pub mod session;
pub mod state;
pub mod text;
#[cfg(feature = "window")]
pub mod ui;

pub use evaluation::{
    EvaluationError, demonstrate_parallel_evaluation, load_model, run_advanced_parallel_evaluation,
    run_default_example, run_parallel_evaluation,
};
pub use protocol::{EvaluationResult, ParallelConfig, RunReport};

/// README.md's Rust, compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
