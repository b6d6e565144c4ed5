//! The example prompts that ship with the program.

use serde::Deserialize;

const PRESETS: &str = include_str!("../../assets/presets.json");

/// An example prompt.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The prompt.
    pub prompt: String,
    /// Turns the Thinking switch on.
    #[serde(default)]
    pub thinking: bool,
    /// Turns the Tools switch on.
    #[serde(default)]
    pub tools: bool,
    /// The prompt is long.
    #[serde(default)]
    pub long: bool,
}

impl Preset {
    /// The badges shown beside the prompt.
    pub fn badges(&self) -> impl Iterator<Item = &'static str> {
        [("Thinking", self.thinking), ("Tools", self.tools), ("Long", self.long)]
            .into_iter()
            .filter_map(|(badge, is_on)| is_on.then_some(badge))
    }
}

/// The example prompts, in the order of the file.
pub fn presets() -> Result<Vec<Preset>, serde_json::Error> {
    serde_json::from_str(PRESETS)
}
