//! Where sessions run: which model on which engine, and what that engine can tell and do.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which model on which engine. Both are empty in reports that were written before they were noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The model's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The engine's name: [`Origin::LOCAL_ENGINE`], or the one that a person gave to an engine elsewhere.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub engine: String,
}

impl Origin {
    /// The engine of this program.
    pub const LOCAL_ENGINE: &'static str = "llmeval";

    /// A model that is loaded in this program.
    pub fn local(model: impl Into<String>) -> Self {
        Self { model: model.into(), engine: Self::LOCAL_ENGINE.to_owned() }
    }
}

/// The model's name, after its engine's where that is elsewhere: "vllm@studio: Qwen/Qwen3-32B".
impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.engine.is_empty() || self.engine == Self::LOCAL_ENGINE {
            formatter.write_str(&self.model)
        } else {
            write!(formatter, "{}: {}", self.engine, self.model)
        }
    }
}

/// What an engine can tell and do. What it lacks stays empty in reports and in the window; it is never shown as zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// It tells every token's id.
    pub token_ids: bool,
    /// It runs sessions exactly, or why it can't, in words for a person.
    pub exact: Result<(), String>,
    /// It tells how much memory it uses.
    pub memory: bool,
    /// The most of a step's likeliest tokens whose log-probabilities it tells; 0 where it tells none.
    pub log_probabilities: u32,
    /// The model can be given tools to call.
    pub tools: bool,
}
