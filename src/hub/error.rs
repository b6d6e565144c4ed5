//! What can go wrong with a model's files and downloads, in words for a person: what happened, to which file, what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A model that can't be had or whose files are not whole.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The path of a model leads nowhere.
    #[error("there is no model at {}: check the path", .0.display())]
    NotFound(PathBuf),

    /// A folder was given where a file belongs, or the other way round.
    #[error("{} is not a {expected}", path.display())]
    WrongKind {
        /// What was given.
        path: PathBuf,
        /// "folder" or "file".
        expected: &'static str,
    },

    /// A folder that lacks a file that every model has.
    #[error("the model folder {} has no {file}: {hint}", folder.display())]
    MissingFile {
        /// The model's folder.
        folder: PathBuf,
        /// The file that isn't there.
        file: String,
        /// What to do about it.
        hint: &'static str,
    },

    /// A file that should be JSON and isn't.
    #[error("{}, line {line}: not valid JSON: {problem}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },

    /// A file of weights that is cut, damaged or not what its name says.
    #[error("{} is damaged or incomplete: {problem}; get it again or choose another model", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: String,
    },

    /// A sound file that holds what this program can't run.
    #[error("{}: {problem}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Which field has which value, and what is supported.
        problem: String,
    },

    /// The starter model was never set up, or was removed.
    #[error("the starter model is missing (expected at {}): run `make starter-model`, or choose another with --model", .0.display())]
    StarterMissing(PathBuf),

    /// The starter model's file is not the one that set-up wrote.
    #[error("the starter model at {} is damaged: run `make starter-model` to get it again", .0.display())]
    StarterDamaged(PathBuf),

    /// The machine has no home folder to keep data in.
    #[error("this account has no home folder to keep models in: set HOME")]
    NoHome,

    /// A model of the hub that is not on this machine.
    #[error("{0} is not on this machine")]
    NotDownloaded(String),

    /// The operating system refused to read or write.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// "read", "write", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl HubError {
    /// Names the file in an error of the operating system.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn corrupt(path: &Path, problem: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), problem: problem.into() }
    }
}
