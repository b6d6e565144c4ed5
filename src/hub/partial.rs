//! A file that is being downloaded: what is on disk of it so far, and the hash of that, so that a download goes on where
//! it stopped.

use super::HubError;
use super::hash::hexadecimal;
use super::repository::{ContentHash, RemoteFile};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The growing file. Writes go straight to it, in order: at a kill, what is on disk is a beginning of the content.
pub(super) struct PartialFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    total: u64,
    expected: ContentHash,
    digest: Running,
}

enum Running {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Running {
    fn new(kind: &ContentHash, total: u64) -> Self {
        match kind {
            ContentHash::Sha256(_) => Self::Sha256(Sha256::new()),
            ContentHash::GitBlob(_) => Self::GitBlob(Sha1::new_with_prefix(format!("blob {total}\0"))),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(bytes),
            Self::GitBlob(digest) => digest.update(bytes),
        }
    }

    fn value(&self) -> String {
        match self {
            Self::Sha256(digest) => hexadecimal(&digest.clone().finalize()),
            Self::GitBlob(digest) => hexadecimal(&digest.clone().finalize()),
        }
    }
}

impl PartialFile {
    /// Opens or makes `path` and hashes what is there of `file`. Takes seconds for gigabytes.
    pub(super) fn open(path: &Path, file: &RemoteFile) -> Result<Self, HubError> {
        let parent = path.parent().unwrap_or(path);
        std::fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut partial = Self {
            path: path.to_owned(),
            file: opened.map_err(HubError::io("write", path))?,
            bytes: 0,
            total: file.bytes,
            expected: file.hash.clone(),
            digest: Running::new(&file.hash, file.bytes),
        };
        partial.hash_present()?;
        if partial.bytes > partial.total {
            partial.restart()?;
        }
        Ok(partial)
    }

    fn hash_present(&mut self) -> Result<(), HubError> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match self.file.read(&mut buffer).map_err(HubError::io("read", &self.path))? {
                0 => return Ok(()),
                read => {
                    self.digest.update(&buffer[..read]);
                    self.bytes += read as u64;
                }
            }
        }
    }

    /// Bytes that are here.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are missing.
    pub(super) fn missing(&self) -> u64 {
        self.total - self.bytes
    }

    /// Adds bytes; the caller never adds more than are missing.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|source| HubError::write(&self.path, source))?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is here.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(HubError::io("write", &self.path))?;
        self.bytes = 0;
        self.digest = Running::new(&self.expected, self.total);
        Ok(())
    }

    /// Whether the whole content has the hash that the hub names.
    pub(super) fn is_right(&self) -> bool {
        self.digest.value().eq_ignore_ascii_case(self.expected.etag())
    }

    /// Makes the whole file the blob `path`.
    pub(super) fn finish(self, path: &Path) -> Result<(), HubError> {
        self.file.sync_all().map_err(HubError::io("write", &self.path))?;
        std::fs::rename(&self.path, path).map_err(HubError::io("write", path))
    }
}
