//! What a model may call in a conversation, handed in by whoever holds it.

use serde_json::Value;

/// Tools that a model may call.
pub trait Tools: Send + Sync {
    /// Each tool as chat templates take it: `{"type": "function", "function": {…}}` with a JSON schema of its arguments.
    fn definitions(&self) -> Vec<Value>;

    /// Runs a tool, on a thread that may wait; `arguments` is JSON, as the model wrote it. What it gives goes to the model,
    /// an error too, so that it can try again.
    fn run(&self, name: &str, arguments: &str) -> Result<String, String>;
}
