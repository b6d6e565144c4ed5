//! The standard Hugging Face cache on disk, which all programs of this machine share.
//!
//! A repository has one folder, `models--owner--name`: `refs/main` holds a commit, `snapshots/COMMIT/FILE` links to
//! `blobs/ETAG`, the content. A blob that is still being downloaded is `ETAG.incomplete`, as Python's huggingface_hub
//! has it.

use super::HubError;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// One repository's part of the cache.
#[derive(Clone, Debug)]
pub(super) struct RepositoryCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    /// `id` has been checked to be "owner/name".
    pub(super) fn new(cache: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The snapshot that the main branch had when it was downloaded last.
    pub(super) fn snapshot(&self) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.folder.join("refs/main")).ok()?;
        Some(self.snapshot_of(commit.trim())).filter(|snapshot| snapshot.is_dir())
    }

    pub(super) fn snapshot_of(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where a blob lies while it is being downloaded.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Keeps other programs, and other downloads of this one, away from a blob until the file is dropped.
    pub(super) fn lock(&self, etag: &str) -> Result<File, HubError> {
        let path = self.locks.join(format!("{etag}.lock"));
        fs::create_dir_all(&self.locks).map_err(HubError::io("create", &self.locks))?;
        let file = File::create(&path).map_err(HubError::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(HubError::InUse(self.folder.clone())),
            Err(TryLockError::Error(source)) => Err(HubError::Io { action: "lock", path, source }),
        }
    }

    /// Links `file` of the commit's snapshot to its blob, relative so that the cache can be moved.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let link = self.snapshot_of(commit).join(file);
        let blob = Path::new("../../blobs").join(etag);
        if fs::read_link(&link).is_ok_and(|present| present == blob) {
            return Ok(());
        }
        let make = || {
            fs::create_dir_all(self.snapshot_of(commit))?;
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => std::os::unix::fs::symlink(&blob, &link),
            }
        };
        make().map_err(HubError::io("link", &link))
    }

    /// Says that the main branch is at `commit`, whose snapshot is complete.
    pub(super) fn set_main(&self, commit: &str) -> Result<(), HubError> {
        let path = self.folder.join("refs/main");
        let write = || {
            fs::create_dir_all(self.folder.join("refs"))?;
            fs::write(&path, commit)
        };
        write().map_err(HubError::io("write", &path))
    }

    /// Bytes on disk: whole blobs, and those that are still being downloaded.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let (mut whole, mut coming) = (0, 0);
        for (path, bytes) in self.blobs() {
            if is_incomplete(&path) { coming += bytes } else { whole += bytes }
        }
        (whole, coming)
    }

    /// Removes what was downloaded of blobs that aren't whole.
    pub(super) fn discard_incomplete(&self) -> Result<(), HubError> {
        for (path, _) in self.blobs().into_iter().filter(|(path, _)| is_incomplete(path)) {
            fs::remove_file(&path).map_err(HubError::io("remove", &path))?;
        }
        Ok(())
    }

    /// Removes the whole repository.
    pub(super) fn remove(&self) -> Result<(), HubError> {
        fs::remove_dir_all(&self.folder).map_err(HubError::io("remove", &self.folder))?;
        // Locks are empty files; that one stays behind harms nothing.
        let _ = fs::remove_dir_all(&self.locks);
        Ok(())
    }

    fn blobs(&self) -> Vec<(PathBuf, u64)> {
        let entries = fs::read_dir(self.folder.join("blobs")).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect()
    }
}

fn is_incomplete(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "incomplete")
}

/// The ids of all model repositories in the cache.
pub(super) fn repositories(cache: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let folder = entry.file_name();
            let (owner, name) = folder.to_str()?.strip_prefix("models--")?.split_once("--")?;
            Some(format!("{owner}/{name}"))
        })
        .collect()
}
