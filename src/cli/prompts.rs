//! Prompts from a file: one a line, or a JSON array of texts.

use std::path::{Path, PathBuf};

/// A prompts file that gives no prompts.
#[derive(Debug, thiserror::Error)]
pub enum PromptsError {
    /// It can't be read.
    #[error("the prompts file {} can't be read: {reason}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It begins as a JSON array and isn't one of texts.
    #[error("the prompts file {} is not a JSON array of texts: {reason}", file.display())]
    Broken {
        /// Which file.
        file: PathBuf,
        /// What is wrong, and where.
        reason: serde_json::Error,
    },
    /// It holds none.
    #[error("the prompts file {} holds no prompt; write one a line", .0.display())]
    Empty(PathBuf),
}

/// Reads the prompts of `file`. Blank lines are left out; a file whose first character is `[` is a JSON array.
pub fn read_prompts(file: &Path) -> Result<Vec<String>, PromptsError> {
    let text =
        std::fs::read_to_string(file).map_err(|reason| PromptsError::Unreadable { file: file.to_owned(), reason })?;
    let prompts: Vec<String> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(|reason| PromptsError::Broken { file: file.to_owned(), reason })?
    } else {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    if prompts.is_empty() { Err(PromptsError::Empty(file.to_owned())) } else { Ok(prompts) }
}
