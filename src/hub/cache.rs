//! The standard Hugging Face cache on disk, which all programs of this machine share.
//!
//! A repository has one folder, `models--owner--name`: `refs/main` holds a commit, `snapshots/COMMIT/FILE` links to
//! `blobs/ETAG`, the content.

use super::HubError;
use std::path::{Path, PathBuf};

/// The cache's folder: `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`.
pub(super) fn folder() -> Result<PathBuf, HubError> {
    Ok(hf_hub::resolve_cache_dir())
}

/// The snapshot of `id` that its main branch had when it was downloaded last.
pub(super) fn snapshot(cache: &Path, id: &str) -> Option<PathBuf> {
    let repository = cache.join(format!("models--{}", id.replace('/', "--")));
    let commit = std::fs::read_to_string(repository.join("refs/main")).ok()?;
    Some(repository.join("snapshots").join(commit.trim())).filter(|snapshot| snapshot.is_dir())
}
