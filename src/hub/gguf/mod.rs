//! Reads a GGUF file's header in Rust, before MLX's C++ opens the file: metadata and tensor list, every figure checked.

mod reader;
mod tensor;
mod tokenizer;
mod value;

pub use tensor::{GgufTensor, GgufType};
pub use value::GgufValue;

use super::HubError;
use reader::Reader;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tensor::ALIGNMENT;

/// Far more than any model has; a larger count is a damaged file.
const MAX_ENTRIES: u64 = 100_000;

/// The header of a GGUF file. No weight has been read.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: PathBuf,
    metadata: BTreeMap<String, GgufValue>,
    tensors: BTreeMap<String, GgufTensor>,
    data_start: u64,
}

impl Gguf {
    /// Reads and checks the header of `path`: magic, version, counts, lengths, tensor types, and that every tensor's
    /// bytes lie within the file.
    pub fn open(path: &Path) -> Result<Self, HubError> {
        let file = File::open(path).map_err(HubError::io("read", path))?;
        let size = file.metadata().map_err(HubError::io("read", path))?.len();
        read_header(path, Reader::new(file, size))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All metadata by key.
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.metadata
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    /// Where in the file a tensor's bytes lie.
    pub fn place(&self, tensor: &GgufTensor) -> Range<u64> {
        let start = self.data_start + tensor.offset();
        start..start + tensor.bytes()
    }

    /// Whether MLX can load the file as it is: it knows these types only, and opens a file for writing although it
    /// only reads. Other files are unpacked tensor by tensor.
    pub fn is_native(&self) -> bool {
        self.tensors.values().all(|tensor| tensor.kind.is_native())
            && File::options().append(true).open(&self.path).is_ok()
    }

    /// Reads the value of `key` with `read`, one of [`GgufValue`]'s `as_…`; none where the key isn't there.
    pub fn find<'a, T>(&'a self, key: &str, read: fn(&'a GgufValue) -> Option<T>) -> Result<Option<T>, HubError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        let wrong =
            || self.unsupported(format!("its metadata has {} under {key}, where another type belongs", value.kind()));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// Like [`Gguf::find`], but the key must be there.
    pub fn require<'a, T>(&'a self, key: &str, read: fn(&'a GgufValue) -> Option<T>) -> Result<T, HubError> {
        self.find(key, read)?.ok_or_else(|| self.unsupported(format!("its metadata lacks {key}")))
    }

    /// Refuses tensors of types that neither MLX loads nor this program converts.
    pub fn check_tensor_types(&self) -> Result<(), HubError> {
        match self.tensors.iter().find(|(_, tensor)| !tensor.kind.is_loadable()) {
            None => Ok(()),
            Some((name, tensor)) => Err(self.unsupported(format!(
                "the tensor {name} has the type {}; supported are {}, {}",
                tensor.kind.name(),
                GgufType::NATIVE.map(GgufType::name).join(", "),
                GgufType::CONVERTED.map(GgufType::name).join(", ")
            ))),
        }
    }

    fn unsupported(&self, problem: String) -> HubError {
        HubError::Unsupported { path: self.path.clone(), problem }
    }
}

/// The layout: magic "GGUF", version, tensor count, metadata count, metadata, tensor list, padding, data.
fn read_header(path: &Path, mut reader: Reader<File>) -> Result<Gguf, HubError> {
    let corrupt = |problem: String| HubError::corrupt(path, problem);
    let unsupported = |problem: String| HubError::Unsupported { path: path.to_owned(), problem };
    if reader.bytes::<4>().map_err(corrupt)? != *b"GGUF" {
        return Err(corrupt("it doesn't begin with GGUF".into()));
    }
    let version = reader.u32().map_err(corrupt)?;
    if !matches!(version, 2 | 3) {
        return Err(unsupported(format!("it has GGUF version {version}; supported are 2 and 3")));
    }
    let tensor_count = reader.count("tensors", MAX_ENTRIES).map_err(corrupt)?;
    let metadata_count = reader.count("metadata entries", MAX_ENTRIES).map_err(corrupt)?;

    let mut metadata = BTreeMap::new();
    for _ in 0..metadata_count {
        let key = reader.text().map_err(corrupt)?;
        let value = value::read(&mut reader).map_err(|problem| corrupt(format!("metadata {key}: {problem}")))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(corrupt(format!("metadata {key} comes twice")));
        }
    }
    if let Some(alignment) = metadata.get("general.alignment").and_then(GgufValue::as_unsigned)
        && alignment != ALIGNMENT
    {
        return Err(unsupported(format!("it has general.alignment {alignment}; supported is {ALIGNMENT}")));
    }

    let mut tensors = BTreeMap::new();
    for _ in 0..tensor_count {
        let (name, tensor) = tensor::read(&mut reader).map_err(corrupt)?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(corrupt(format!("the tensor {name} comes twice")));
        }
    }
    let data_start = reader.position().next_multiple_of(ALIGNMENT);
    for (name, tensor) in &tensors {
        tensor
            .check_place(data_start, reader.size())
            .map_err(|problem| corrupt(format!("the tensor {name} {problem}")))?;
    }
    Ok(Gguf { path: path.to_owned(), metadata, tensors, data_start })
}
