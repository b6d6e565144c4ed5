//! What the engine needs of a model: rows that are prefilled and decoded. Implemented by `model` on MLX and by tests.

use super::prompt::PromptRules;
use crate::protocol::{Execution, MemoryFigures, SessionRequest};

/// A model on a device. It lives on the engine's thread, from load to drop.
///
/// A prompt of P tokens is prefilled as P − 1 tokens; the last one is fed by the row's first decode step, so that
/// every token, the first included, is sampled in the same place.
pub trait Backend {
    /// One session's state: KV cache, sampling settings, position, next token.
    type Row;
    /// A launched decode step whose ids have not been read yet.
    type Step;

    /// Makes the row of a session whose prompt has not been read yet.
    fn open(&mut self, request: &SessionRequest, execution: Execution) -> Result<Self::Row, BackendError>;

    /// How many of the prompt's first P − 1 tokens the row holds already, here because another session
    /// began with the same ones.
    fn prefilled(&self, row: &Self::Row) -> usize;

    /// How the prompts of an execution are read.
    fn prompt_rules(&self, execution: Execution) -> PromptRules;

    /// Reads up to `limit` further prompt tokens (at least 1) and evaluates them. Returns how many were read: what
    /// [`PromptRules::pass`] says; 0 means that the row is ready to decode.
    fn prefill(&mut self, row: &mut Self::Row, limit: usize) -> Result<usize, BackendError>;

    /// How many tokens of the prompt beginning `tokens` a row that is opened now holds from the start.
    fn known(&self, _tokens: &[u32], _execution: Execution) -> usize {
        0
    }

    /// Reads several prompts of one execution at once: of each row, which has at least one unread token, at most so many,
    /// but for fixed chunk boundaries. Returns how many were read of each; an error leaves every row where it was.
    fn prefill_together(&mut self, rows: &mut [(&mut Self::Row, usize)]) -> Result<Vec<usize>, BackendError> {
        rows.iter_mut().map(|(row, limit)| self.prefill(row, *limit)).collect()
    }

    /// Starts one decode step for all `rows`: each feeds its next token and samples the one after. Does not wait.
    /// A row may be launched again before the last step was read. An error leaves every row where it was (what a
    /// cache holds beyond a row's position is never read), so that the engine can launch each alone.
    fn launch(&mut self, rows: &mut [&mut Self::Row], execution: Execution) -> Result<Self::Step, BackendError>;

    /// Waits for a step. One output a row, in the order of its launch.
    fn read(&mut self, step: Self::Step) -> Result<Vec<StepOutput>, BackendError>;

    /// Whether a step is worth launching before the last one was read. Where not, a step is read as soon as it is
    /// launched.
    fn looks_ahead(&self) -> bool {
        true
    }

    /// MLX's own memory figures.
    fn memory(&self) -> MemoryFigures;

    /// Starts the peak figure anew, and nothing else.
    fn reset_peak_memory(&mut self);

    /// Forgets what it keeps of prompts that were read. Rows that are open keep theirs.
    fn forget_prompts(&mut self);

    /// Frees the memory of what only rows shared that are gone. Called whenever sessions have left.
    fn free_unused(&mut self);

    /// Sets how many bytes of freed memory are kept for reuse.
    fn set_cache_limit(&mut self, bytes: u64) -> Result<(), BackendError>;

    /// The most tokens that one row can hold.
    fn context_length(&self) -> u32;
}

/// What one row gave in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOutput {
    /// The sampled id.
    pub token: u32,
    /// A hash of the logits' bits, where the row's request asked for it.
    pub logits_hash: Option<u64>,
}

/// A device failure in words for a person, without source paths.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);
