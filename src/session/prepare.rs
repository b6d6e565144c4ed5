//! From a prompt as a person wrote it to the ids that the engine reads.

use crate::protocol::{Execution, Sampling, SessionError, SessionId};
use crate::text::{Chat, Role, TextModel};
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

/// What a session answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A conversation, through the model's chat template.
    Chat(Chat),
    /// Text that is continued as it is.
    Raw(String),
}

impl Input {
    /// What the person said last.
    pub(super) fn last_words(&self) -> String {
        match self {
            Self::Raw(text) => text.clone(),
            Self::Chat(chat) => {
                let said = chat.messages.iter().rev().find(|message| message.role == Role::User);
                said.and_then(|message| message.content.clone()).unwrap_or_default()
            }
        }
    }
}

/// Everything about one session before it runs.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: SessionId,
    /// The prompt as the person wrote it.
    pub prompt: String,
    pub input: Input,
    pub sampling: Sampling,
    pub max_tokens: u32,
    pub stop: Vec<String>,
    pub execution: Execution,
}

/// Starts tokenizing on a thread of its own: a long prompt takes a while.
pub(super) fn tokenize(text: Arc<TextModel>, input: Input) -> JoinHandle<Result<Arc<[u32]>, SessionError>> {
    spawn_blocking(move || {
        let ids = match &input {
            Input::Chat(chat) => text.encode_chat(chat),
            Input::Raw(prompt) => text.encode_raw(prompt),
        };
        ids.map(Arc::from).map_err(|error| SessionError(error.to_string()))
    })
}
