//! Plain data that all layers speak: settings, requests, events, figures. Imports nothing of this crate.

mod catalog;
mod config;
mod event;
mod execution;
mod finish;
mod format;
mod memory;
mod metrics;
mod model;
mod replay;
mod request;
mod result;
mod sampling;
mod scaling;
mod segment;
mod source;
mod tokenizer;
mod update;

pub use catalog::{Footprint, ListedModel, MEMORY_TOKENS, ModelCard, OnDisk, RegistryEntry, SamplingDefaults};
pub use config::{InvalidConfig, ParallelConfig};
pub use event::{EngineEvent, SessionError};
pub use execution::Execution;
pub use finish::FinishReason;
pub use format::{NOTHING, bytes, milliseconds, or_nothing, parameters, rate, ratio};
pub use memory::{HeldMemory, MachineMemory, MemoryFigures, MemoryPrediction};
pub use metrics::{mean, percentile, speed_up, throughput, tokens_per_second};
pub use model::{DeviceKind, FileProgress, LoadProgress, ModelFacts, ModelId, ModelSource, ModelSummary, Packing};
pub use replay::Replay;
pub use request::{SessionId, SessionRequest};
pub use result::{EvaluationResult, RunReport, Timeline};
pub use sampling::{InvalidSampling, Sampling, Strategy, session_seed};
pub use scaling::ScalingRow;
pub use segment::Segment;
pub use source::{Capabilities, Origin};
pub use tokenizer::GgufTokenizer;
pub use update::{SessionState, SessionUpdate, UpdateKind};
