//! A model's files on disk: a folder in the mlx-community layout or one GGUF file. Plain paths, checked to be there.

use super::{HubError, read_json};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Where a model's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFiles {
    /// A folder in the mlx-community layout.
    Folder(FolderFiles),
    /// One file that holds weights, tokenizer and chat template.
    Gguf(PathBuf),
}

impl ModelFiles {
    /// Finds the files of a model in `folder`.
    pub fn in_folder(folder: &Path) -> Result<Self, HubError> {
        FolderFiles::find(folder).map(Self::Folder)
    }

    /// Takes `path` as a GGUF file.
    pub fn gguf(path: &Path) -> Result<Self, HubError> {
        let metadata = metadata(path)?;
        if metadata.is_file() {
            Ok(Self::Gguf(path.to_owned()))
        } else {
            Err(HubError::WrongKind { path: path.to_owned(), expected: "file" })
        }
    }
}

/// The files of a model in the mlx-community layout; every path has been seen to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFiles {
    /// The folder.
    pub folder: PathBuf,
    /// `config.json`.
    pub config: PathBuf,
    /// The safetensors files, in order of their names; at least one.
    pub shards: Vec<PathBuf>,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<PathBuf>,
    /// `chat_template.jinja`, else `chat_template.json`.
    pub chat_template: Option<PathBuf>,
    /// `generation_config.json`.
    pub generation_config: Option<PathBuf>,
}

impl FolderFiles {
    /// The name of the file that says which tensor lies in which shard.
    pub const INDEX: &'static str = "model.safetensors.index.json";

    fn find(folder: &Path) -> Result<Self, HubError> {
        if !metadata(folder)?.is_dir() {
            return Err(HubError::WrongKind { path: folder.to_owned(), expected: "folder" });
        }
        let optional = |file: &str| Some(folder.join(file)).filter(|path| path.is_file());
        let required = |file: &str, hint: &'static str| {
            optional(file).ok_or_else(|| HubError::MissingFile {
                folder: folder.to_owned(),
                file: file.to_owned(),
                hint,
            })
        };
        Ok(Self {
            folder: folder.to_owned(),
            config: required("config.json", "choose a folder in the layout of mlx-community's models")?,
            shards: find_shards(folder)?,
            tokenizer: required("tokenizer.json", "get it from the model's repository")?,
            tokenizer_config: optional("tokenizer_config.json"),
            chat_template: optional("chat_template.jinja").or_else(|| optional("chat_template.json")),
            generation_config: optional("generation_config.json"),
        })
    }
}

/// The shards that the index names, else those that the file names announce; one that isn't there is named.
fn find_shards(folder: &Path) -> Result<Vec<PathBuf>, HubError> {
    let index = folder.join(FolderFiles::INDEX);
    let names = if index.is_file() { shards_of_index(&index)? } else { shards_of_names(folder)? };
    let missing = |file: &str, hint: &'static str| HubError::MissingFile {
        folder: folder.to_owned(),
        file: file.to_owned(),
        hint,
    };
    if names.is_empty() {
        return Err(missing("model.safetensors", "weights come as safetensors; other formats are not read"));
    }
    names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            if path.is_file() { Ok(path) } else { Err(missing(name, "a part of the weights is missing; get it again")) }
        })
        .collect()
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn shards_of_index(index: &Path) -> Result<BTreeSet<String>, HubError> {
    let names: BTreeSet<String> = read_json::<Index>(index)?.weight_map.into_values().collect();
    for name in &names {
        // An index is untrusted input: it must not lead out of the model's folder.
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(HubError::corrupt(
                index,
                format!("it names the file {name:?}, which lies outside of the folder"),
            ));
        }
    }
    Ok(names)
}

/// Without an index: `model.safetensors`, or all N of `model-00001-of-0000N.safetensors`.
fn shards_of_names(folder: &Path) -> Result<BTreeSet<String>, HubError> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(HubError::io("read", folder))? {
        let name = entry.map_err(HubError::io("read", folder))?.file_name();
        if let Some(name) = name.to_str()
            && name.starts_with("model")
            && name.ends_with(".safetensors")
        {
            names.insert(name.to_owned());
        }
    }
    let announced =
        names.iter().find_map(|name| name.strip_suffix(".safetensors")?.rsplit_once("-of-")?.1.parse().ok());
    // More shards than there are is what a missing one looks like; a huge number is no count of shards.
    if let Some(count @ 1..=9_999) = announced {
        names.extend((1..=count).map(|shard: u32| format!("model-{shard:05}-of-{count:05}.safetensors")));
    }
    Ok(names)
}

fn metadata(path: &Path) -> Result<std::fs::Metadata, HubError> {
    std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => HubError::NotFound(path.to_owned()),
        _ => HubError::Io { action: "read", path: path.to_owned(), source },
    })
}
