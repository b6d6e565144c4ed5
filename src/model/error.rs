//! Why a model can't be loaded, in words for a person.

use std::path::PathBuf;

/// Why a model can't be loaded. Each message says what is wrong with which file or field, and what is supported.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Nobody waits for the model any more.
    #[error("the load was stopped")]
    Cancelled,
    /// The files hold something that this program has no code for.
    #[error("{field} {value} is not supported; supported: {supported}")]
    Unsupported {
        /// The field of config.json or of the GGUF metadata.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        supported: String,
    },
    /// A field that the architecture needs is absent or of the wrong kind.
    #[error("{file}: {problem}", file = file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint lacks a tensor.
    #[error("the checkpoint lacks the tensor {0}; download the model again")]
    MissingTensor(String),
    /// The checkpoint holds tensors that the architecture does not have.
    #[error("the checkpoint holds tensors that a {architecture} model does not have: {names}")]
    SuperfluousTensors {
        /// config.json's `model_type`.
        architecture: String,
        /// The first few names.
        names: String,
    },
    /// A tensor's shape contradicts config.json.
    #[error("tensor {name} has shape {found:?}, but config.json calls for {expected:?}")]
    WrongShape {
        /// The tensor.
        name: String,
        /// What config.json calls for.
        expected: Vec<i32>,
        /// What the file holds.
        found: Vec<i32>,
    },
    /// A tensor's type contradicts what its name and neighbours say.
    #[error("tensor {name} is of type {found}, but must be {expected}")]
    WrongType {
        /// The tensor.
        name: String,
        /// What it must be.
        expected: &'static str,
        /// What the file holds.
        found: String,
    },
    /// A file can't be read, or is no longer what it was when it was checked.
    #[error(transparent)]
    Files(#[from] crate::hub::HubError),
    /// MLX refused.
    #[error("{0}")]
    Device(#[from] crate::engine::BackendError),
}

impl ModelError {
    /// A value that this program has no code for.
    pub(super) fn unsupported(field: &str, value: &str, supported: &str) -> Self {
        Self::Unsupported { field: field.into(), value: value.into(), supported: supported.into() }
    }
}

impl From<mlx_rs::error::Exception> for ModelError {
    fn from(exception: mlx_rs::error::Exception) -> Self {
        Self::Device(exception.into())
    }
}

impl From<mlx_rs::error::Exception> for crate::engine::BackendError {
    /// MLX's messages end in the C++ file and line that raised them, which tell a person nothing.
    fn from(exception: mlx_rs::error::Exception) -> Self {
        let what = exception.what();
        let words = what.split(" at /").next().unwrap_or(what).trim();
        let words = words.rsplit_once(" at ").filter(|(_, tail)| tail.contains(".cpp")).map_or(words, |(head, _)| head);
        Self(format!("MLX could not compute: {words}"))
    }
}
