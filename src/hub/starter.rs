//! The starter model: a small chat model that set-up unpacks into the data folder, so that a first run needs no hub.

use super::{HubError, hash};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Its file's name.
pub const STARTER_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// Its file's size; tools/starter-model.py holds the same two figures.
const BYTES: u64 = 98_362_432;
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Where set-up puts the starter model: in the platform's data folder.
pub fn starter_path() -> Result<PathBuf, HubError> {
    let folders = directories::ProjectDirs::from("", "", "LLMEval").ok_or(HubError::NoHome)?;
    Ok(folders.data_dir().join("models").join(STARTER_FILE))
}

/// Checks the starter model at `path`. Its hash is computed once: a stamp file beside it records the size
/// and time of the file that was right, so that later starts read only the stamp.
pub fn check_starter(path: &Path) -> Result<(), HubError> {
    let metadata = std::fs::metadata(path).map_err(|_| HubError::StarterMissing(path.to_owned()))?;
    if metadata.len() != BYTES {
        return Err(HubError::StarterDamaged(path.to_owned()));
    }
    let stamp = path.with_extension("gguf.checked");
    let expected = stamp_text(&metadata);
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text.trim_end() == expected) {
        return Ok(());
    }
    if hash::sha256_of_file(path)? != SHA256 {
        return Err(HubError::StarterDamaged(path.to_owned()));
    }
    if let Err(error) = std::fs::write(&stamp, expected) {
        tracing::warn!("can't write {}: {error}; the starter model will be hashed at each start", stamp.display());
    }
    Ok(())
}

fn stamp_text(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{SHA256} {} {}", metadata.len(), modified.as_nanos())
}
