//! What a repository of the hub holds: its newest commit, and the files that a model needs, with size and hash.

use super::{FolderFiles, HubError};
use serde::Deserialize;

/// One file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) hash: ContentHash,
}

impl RemoteFile {
    /// Whether it is a shard of the weights.
    pub(super) fn is_weights(&self) -> bool {
        is_weights(&self.name)
    }
}

/// How the hub names a file's content; the cache names its blob the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentHash {
    /// Large files: SHA-256 of the content.
    Sha256(String),
    /// Small files: git's SHA-1 of "blob SIZE\0" and the content.
    GitBlob(String),
}

impl ContentHash {
    pub(super) fn etag(&self) -> &str {
        match self {
            Self::Sha256(hash) | Self::GitBlob(hash) => hash,
        }
    }
}

/// The newest commit of a repository and those of its files that a model needs, small ones first.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<RemoteFile>,
}

/// The hub's answer. hf-hub's own listing drops the SHA-256 of large files, which the check of a download needs.
#[derive(Deserialize)]
pub(super) struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// Files that a model needs where its repository has them, beside the weights.
const WANTED: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    FolderFiles::INDEX,
];

impl Listing {
    /// Chooses the files that are needed; refuses a repository that is no model in the mlx-community layout.
    pub(super) fn choose(id: &str, answer: Answer) -> Result<Self, HubError> {
        let not_a_model = |problem: &str| HubError::NotAModel { id: id.to_owned(), problem: problem.to_owned() };
        let names: Vec<&str> = answer.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        for required in ["config.json", "tokenizer.json"] {
            if !names.contains(&required) {
                let gguf = names.iter().any(|name| name.ends_with(".gguf"));
                let hint = if gguf { "; of a GGUF repository, download one file and give its path" } else { "" };
                return Err(not_a_model(&format!("it has no {required}{hint}")));
            }
        }
        if !names.iter().any(|name| is_weights(name)) {
            return Err(not_a_model("it has no model.safetensors"));
        }
        if !is_hash(&answer.sha, 40) {
            return Err(not_a_model("the hub's answer names no commit"));
        }
        let mut files = Vec::new();
        for file in answer.siblings {
            if is_weights(&file.rfilename) || WANTED.contains(&file.rfilename.as_str()) {
                let name = file.rfilename.clone();
                files.push(
                    file.into_remote()
                        .ok_or_else(|| not_a_model(&format!("the hub's answer names no size and hash of {name}")))?,
                );
            }
        }
        files.sort_by(|one, other| (one.is_weights(), &one.name).cmp(&(other.is_weights(), &other.name)));
        Ok(Self { commit: answer.sha, files })
    }
}

impl Sibling {
    fn into_remote(self) -> Option<RemoteFile> {
        let (bytes, hash) = match (self.lfs, self.size, self.blob_id) {
            (Some(lfs), _, _) if is_hash(&lfs.sha256, 64) => (lfs.size, ContentHash::Sha256(lfs.sha256)),
            (None, Some(size), Some(id)) if is_hash(&id, 40) => (size, ContentHash::GitBlob(id)),
            _ => return None,
        };
        Some(RemoteFile { name: self.rfilename, bytes, hash })
    }
}

/// The shards of a model, in the repository's top folder.
fn is_weights(name: &str) -> bool {
    name.starts_with("model") && name.ends_with(".safetensors") && !name.contains('/')
}

/// A hash becomes a file's name: it must be nothing else.
fn is_hash(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `id` is "owner/name" in the hub's own characters.
pub(super) fn is_valid_id(id: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
    };
    id.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}
