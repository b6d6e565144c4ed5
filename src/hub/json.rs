//! Reads a JSON file, naming file and line where it is broken.

use super::HubError;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads `path` as JSON.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, HubError> {
    parse_json(path, &std::fs::read(path).map_err(HubError::io("read", path))?)
}

/// Reads `text`, the content of `path`, as JSON.
pub(super) fn parse_json<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, HubError> {
    serde_json::from_slice(text).map_err(|error| HubError::Json {
        path: path.to_owned(),
        line: error.line(),
        problem: without_position(&error.to_string()),
    })
}

/// The parser's words end in the position, which the error names already.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}
