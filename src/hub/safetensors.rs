//! Checks safetensors files by their headers, before MLX opens them: which tensors there are, and that all bytes are there.

use super::{FolderFiles, HubError};
use ::safetensors::tensor::Metadata;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use ::safetensors::Dtype;

/// One tensor as a header lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape, outermost axis first.
    pub shape: Vec<usize>,
    /// Bytes of its data.
    pub bytes: u64,
    /// The file that holds it.
    pub shard: PathBuf,
}

/// All tensors of a model by name.
pub type TensorIndex = BTreeMap<String, TensorEntry>;

/// The longest header that is read; real ones have a few hundred KB.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Reads the headers of all shards. No weight is read.
///
/// Fails where a header is broken, a file shorter or longer than its header says, or two shards hold one tensor.
pub fn read_tensor_index(files: &FolderFiles) -> Result<TensorIndex, HubError> {
    let mut index = TensorIndex::new();
    for path in &files.shards {
        let mut file = File::open(path).map_err(HubError::io("read", path))?;
        let bytes = file.metadata().map_err(HubError::io("read", path))?.len();
        let shard = Shard { path, bytes };
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| shard.too_short())?;
        let end = shard.header_end(&length)?;
        let mut header = Vec::new();
        file.take(end - 8).read_to_end(&mut header).map_err(HubError::io("read", path))?;
        shard.add_to(&mut index, &header)?;
    }
    Ok(index)
}

/// A safetensors file of known size: 8 bytes with the header's length, a header of JSON, the tensors' data.
pub(super) struct Shard<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: u64,
}

impl Shard<'_> {
    /// Where the header ends, from the file's first 8 bytes.
    pub(super) fn header_end(&self, first: &[u8]) -> Result<u64, HubError> {
        let length = first.try_into().map(u64::from_le_bytes).map_err(|_| self.too_short())?;
        if length > self.bytes.saturating_sub(8).min(MAX_HEADER_BYTES) {
            return Err(
                self.corrupt(format!("its header would be {length} bytes long and the file has {}", self.bytes))
            );
        }
        Ok(8 + length)
    }

    /// Adds the tensors that the header lists; the data behind it must have exactly the size that it says.
    pub(super) fn add_to(&self, index: &mut TensorIndex, header: &[u8]) -> Result<(), HubError> {
        // Reading it as `Metadata` checks each tensor's shape against its bytes, and that the tensors leave no gap.
        let metadata: Metadata =
            serde_json::from_slice(header).map_err(|error| self.corrupt(format!("its header is broken: {error}")))?;
        let expected = (8 + header.len() as u64).saturating_add(metadata.data_len() as u64);
        if self.bytes != expected {
            return Err(self.corrupt(format!("it has {} bytes and its header speaks of {expected}", self.bytes)));
        }
        for (name, info) in metadata.tensors() {
            let entry = TensorEntry {
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
                shard: self.path.to_owned(),
            };
            if let Some(other) = index.insert(name.clone(), entry) {
                let other = other.shard.display();
                return Err(self.corrupt(format!("it holds the tensor {name}, which {other} holds too")));
            }
        }
        Ok(())
    }

    fn too_short(&self) -> HubError {
        self.corrupt(format!("it has only {} bytes, too few for a safetensors file", self.bytes))
    }

    fn corrupt(&self, problem: String) -> HubError {
        HubError::corrupt(self.path, problem)
    }
}
