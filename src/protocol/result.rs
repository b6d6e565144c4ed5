//! What a run gave: one result a session, one report a run. The report is what `--json` prints and the window exports.

use super::{DeviceKind, Execution, FinishReason, Origin, ParallelConfig, Replay, SessionId};
use serde::{Deserialize, Serialize};

/// When a session's stretches began, in seconds from the run's first submit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// It was handed to the engine.
    pub submitted_s: f64,
    /// It left the queue.
    pub prefill_s: Option<f64>,
    /// Its first token came.
    pub first_token_s: Option<f64>,
    /// Its last token came.
    pub last_token_s: Option<f64>,
    /// It ended.
    pub ended_s: f64,
}

/// What one session gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationResult {
    /// The session's number.
    pub id: SessionId,
    /// Which model on which engine; in JSON two fields, `model` and `engine`, beside the rest.
    #[serde(flatten)]
    pub origin: Origin,
    /// The prompt as the person wrote it.
    pub prompt: String,
    /// Prompt tokens, counted after the chat template; none where the engine doesn't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u32>,
    /// Where its random numbers began.
    pub seed: u64,
    /// 0 is greedy.
    pub temperature: f32,
    /// The text, without stop strings.
    pub text: String,
    /// The answer's token ids; empty where the engine doesn't tell them.
    pub token_ids: Vec<u32>,
    /// How many tokens came, as the engine counts them.
    pub tokens: u32,
    /// From submit to the first token out, queueing included; none where no token came.
    pub time_to_first_token_ms: Option<f64>,
    /// From submit to end.
    pub duration_s: f64,
    /// (tokens − 1) / (time of last token − time of first token); 0 below two tokens.
    pub tokens_per_second: f64,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What went wrong, where it failed.
    pub error: Option<String>,
    /// When its stretches began.
    pub timeline: Timeline,
    /// How its answer compares with the same session run alone, where someone has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
}

/// What a run gave, and all that is needed to run it again. What an engine elsewhere doesn't tell is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The model's name; where sessions ran on several, all names with commas between.
    pub model: String,
    /// Weights counted as if they were not quantised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// How decode steps shared the device.
    pub execution: Execution,
    /// The cohort width, where they shared it exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_width: Option<u32>,
    /// Bits that dense weights were packed to while they loaded; none where they are as they are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed_bits: Option<u32>,
    /// Where it computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceKind>,
    /// Seconds from opening the model's files to evaluated weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_seconds: Option<f64>,
    /// The sessions, in order of their numbers.
    pub sessions: Vec<EvaluationResult>,
    /// The sum of the sessions' tokens.
    pub total_tokens: u64,
    /// From the first submit to the last end.
    pub wall_time_s: f64,
    /// `total_tokens` / `wall_time_s`.
    pub tokens_per_second: f64,
    /// The mean of the sessions' tokens/s.
    pub average_tokens_per_second: f64,
    /// The most bytes MLX had active at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// The settings.
    pub config: ParallelConfig,
}
