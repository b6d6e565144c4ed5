//! One session's work before it runs: what is asked, how tokens are chosen, when it ends.

use crate::protocol::{Execution, InvalidConfig, ParallelConfig, Sampling, SessionId};
use crate::text::Chat;

/// What a session answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A conversation, through the model's chat template.
    Chat(Chat),
    /// Text that is continued as it is.
    Raw(String),
}

/// Everything about one session before it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The session's number in its run.
    pub id: SessionId,
    /// What is answered.
    pub input: Input,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The most tokens of the answer; at least 1.
    pub max_tokens: u32,
    /// Text that ends the answer and is never shown.
    pub stop: Vec<String>,
    /// How its decode steps share the device.
    pub execution: Execution,
    /// Whether the answer is split into words, thoughts and tool calls as it comes.
    pub splits: bool,
    /// Whether every step's logits are hashed, for proofs of exactness.
    pub hashes_logits: bool,
}

impl Job {
    /// Session `id` of a run.
    pub fn of_run(config: &ParallelConfig, id: SessionId) -> Result<Self, InvalidConfig> {
        let prompt = config.prompt(id.0);
        let input = if config.raw {
            Input::Raw(prompt.to_owned())
        } else {
            Input::Chat(Chat { thinking: Some(config.thinking), ..Chat::question(config.system.as_deref(), prompt) })
        };
        Ok(Self {
            id,
            input,
            sampling: config.sampling(id.0).map_err(|invalid| InvalidConfig(invalid.to_string()))?,
            max_tokens: config.max_tokens,
            stop: config.stop.clone(),
            execution: config.execution,
            splits: false,
            hashes_logits: false,
        })
    }
}
