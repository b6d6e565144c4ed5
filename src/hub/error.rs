//! What can go wrong with a model's files and downloads, in words for a person: what happened, to which file, what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model can't be fetched, or why its files can't be used.
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
    #[error("the starter model is missing (expected at {}): choose another model, or run `make starter-model` in the source folder", .0.display())]
    StarterMissing(PathBuf),

    /// The starter model's file is not the one that set-up wrote.
    #[error("the starter model at {} is damaged: run `make starter-model` to get it again", .0.display())]
    StarterDamaged(PathBuf),

    /// The machine has no home folder to keep data in.
    #[error("this account has no home folder to keep models in: set HOME")]
    NoHome,

    /// What was given as a hub id isn't one.
    #[error("{0:?} is no hub id: it should read owner/name")]
    InvalidId(String),

    /// A model of the hub that is not on this machine.
    #[error("{0} is not on this machine: get it with `llmeval models pull {0}`")]
    NotDownloaded(String),

    /// A model that would have to be downloaded, in offline mode (`HF_HUB_OFFLINE`).
    #[error(
        "{0} is not on this machine and HF_HUB_OFFLINE is set: unset it, or choose a model that is here (`llmeval models list`)"
    )]
    Offline(String),

    /// The hub can't be reached, or fails time and again.
    #[error(
        "can't download from {endpoint}: {problem}; check the network and try again, the download goes on where it stopped"
    )]
    Unreachable {
        /// The hub's address.
        endpoint: String,
        /// What happened last.
        problem: String,
    },

    /// The hub asks for a pause longer than this program waits by itself.
    #[error(
        "the hub asks to wait {seconds} s before the next request: try again then, the download goes on where it stopped"
    )]
    Busy {
        /// How long.
        seconds: u64,
    },

    /// The hub refuses to show a repository without a token.
    #[error(
        "{0} can't be read without an access token, or doesn't exist: if it is private or gated, ask for access on its page, then set HF_TOKEN or run `llmeval models token`"
    )]
    TokenNeeded(String),

    /// The hub refuses to show a repository to this token.
    #[error(
        "the access token doesn't open {0}: ask for access on its page, or give another token (HF_TOKEN, or `llmeval models token`)"
    )]
    TokenRefused(String),

    /// The system's keychain didn't keep or give the token.
    #[error("the system's keychain is not available ({0}): set HF_TOKEN instead")]
    Keychain(String),

    /// There is no such repository.
    #[error("the hub has no model {0}: check the name")]
    NoSuchRepository(String),

    /// A repository without the files that a model needs.
    #[error("{id} can't be used: {problem}")]
    NotAModel {
        /// The repository.
        id: String,
        /// What is missing.
        problem: String,
    },

    /// The hub refused for another reason.
    #[error("the hub refused {id}: {status}")]
    Refused {
        /// The repository.
        id: String,
        /// The HTTP status.
        status: String,
    },

    /// A file came twice with content that isn't the hub's.
    #[error("{file} of {id} came damaged, twice: something on the way changes it; try another network")]
    WrongHash {
        /// The repository.
        id: String,
        /// The file.
        file: String,
    },

    /// The disk has no room for what would be downloaded.
    #[error("the download needs {} and the disk of {} has {} left: make room, or set HF_HOME to another disk", gigabytes(*needed), folder.display(), gigabytes(*free))]
    DiskFull {
        /// The cache.
        folder: PathBuf,
        /// Bytes that the download still needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// The disk had room when a download began, and has none now.
    #[error("the disk filled up while writing {}: make room and try again, the download goes on where it stopped", .0.display())]
    DiskFilledUp(PathBuf),

    /// Another download of the same file is under way.
    #[error("another download into {} is under way: wait for it or stop it", .0.display())]
    InUse(PathBuf),

    /// Requests can't even be prepared, as with a broken HF_ENDPOINT.
    #[error("downloads can't be prepared: {0}; check HF_ENDPOINT")]
    Setup(String),

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

    /// A write that failed; a full disk is said as such.
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFilledUp(path.to_owned()),
            _ => Self::Io { action: "write", path: path.to_owned(), source },
        }
    }

    pub(super) fn corrupt(path: &Path, problem: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), problem: problem.into() }
    }
}

/// In GB of 1,000,000,000 bytes, as the hub counts.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
