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
    for shard in &files.shards {
        for (name, info) in read_header(shard)?.tensors() {
            let entry = TensorEntry {
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
                shard: shard.clone(),
            };
            if let Some(other) = index.insert(name.clone(), entry) {
                let problem = format!("it holds the tensor {name}, which {} holds too", other.shard.display());
                return Err(HubError::corrupt(shard, problem));
            }
        }
    }
    Ok(index)
}

/// Reads one file's header: 8 bytes of length, then JSON; the data behind must have exactly the size that it says.
fn read_header(path: &Path) -> Result<Metadata, HubError> {
    let mut file = File::open(path).map_err(HubError::io("read", path))?;
    let size = file.metadata().map_err(HubError::io("read", path))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|_| HubError::corrupt(path, format!("it has only {size} bytes, too few for a safetensors file")))?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > size - 8 || header_bytes > MAX_HEADER_BYTES {
        let problem = format!("its header would be {header_bytes} bytes long and the file has {size}");
        return Err(HubError::corrupt(path, problem));
    }
    let mut header = Vec::with_capacity(header_bytes as usize);
    file.take(header_bytes).read_to_end(&mut header).map_err(HubError::io("read", path))?;
    // Reading it as `Metadata` checks each tensor's shape against its bytes, and that the tensors leave no gap.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| HubError::corrupt(path, format!("its header is broken: {error}")))?;
    let expected = (8 + header_bytes).saturating_add(metadata.data_len() as u64);
    if size != expected {
        return Err(HubError::corrupt(path, format!("it has {size} bytes and its header speaks of {expected}")));
    }
    Ok(metadata)
}
