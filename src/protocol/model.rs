//! Which model: where it comes from, how its load goes, what it is once loaded.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum ModelSource {
    /// The small model that set-up put into the data folder.
    #[default]
    Starter,
    /// A repository of the hub, "owner/name".
    Hub(String),
    /// A folder in the mlx-community layout.
    Folder(PathBuf),
    /// One GGUF file.
    Gguf(PathBuf),
}

impl ModelSource {
    /// The name by which people call the starter model on the command line.
    pub const STARTER_NAME: &'static str = "starter";

    /// Reads what a person gives as `--model`: `starter`, a path that exists or looks like one, or a hub id.
    pub fn parse(text: &str) -> Self {
        let path = PathBuf::from(text);
        if text == Self::STARTER_NAME {
            Self::Starter
        } else if is_gguf(&path) {
            Self::Gguf(path)
        } else {
            Self::hub_id(text).filter(|_| !path.is_dir()).unwrap_or(Self::Folder(path))
        }
    }

    /// The repository of the hub that `text` names, which is "owner/name"; never looks at the disk.
    pub fn hub_id(text: &str) -> Option<Self> {
        let looks_like_path = text.starts_with(['/', '.', '~']) || text.matches('/').count() != 1;
        (!looks_like_path && !is_gguf(Path::new(text))).then(|| Self::Hub(text.to_owned()))
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

impl ModelSource {
    /// The name shown to people: the hub id, the folder's or the file's name.
    pub fn display_name(&self) -> String {
        match self {
            Self::Starter => "SmolLM2-135M-Instruct".to_owned(),
            Self::Hub(id) => id.clone(),
            Self::Folder(path) | Self::Gguf(path) => {
                path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
            }
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starter => formatter.write_str(Self::STARTER_NAME),
            Self::Hub(id) => formatter.write_str(id),
            Self::Folder(path) | Self::Gguf(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// How a dense model's weights are held once they are loaded; a quantised one's always stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// As they are stored.
    #[default]
    AsStored,
    /// Packed to 8 bits while they load.
    EightBits,
    /// Packed to 4 bits while they load.
    FourBits,
}

impl Packing {
    /// Every way, the largest first.
    pub const ALL: [Self; 3] = [Self::AsStored, Self::EightBits, Self::FourBits];

    /// The name shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsStored => "As stored",
            Self::EightBits => "8 bits",
            Self::FourBits => "4 bits",
        }
    }

    /// Bits of one weight; none leaves them as they are.
    pub fn bits(self) -> Option<i32> {
        match self {
            Self::AsStored => None,
            Self::EightBits => Some(8),
            Self::FourBits => Some(4),
        }
    }
}

/// The name of a loaded model among all that are loaded; stays the same until it is unloaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(String);

impl ModelId {
    /// The id that is written so, as a person or a client gives it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The kind of device that MLX computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A Metal or CUDA device.
    Gpu,
}

impl DeviceKind {
    /// The name in JSON and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }
}

/// How far a load has come.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadProgress {
    /// Files are coming from the hub.
    Downloading {
        /// The files that are coming now, in the order in which they began.
        files: Vec<FileProgress>,
        /// Bytes here so far, all files together.
        done_bytes: u64,
        /// Bytes of all files together, where the hub said so.
        total_bytes: Option<u64>,
        /// Files complete so far.
        done_files: usize,
        /// Files in all.
        total_files: usize,
        /// Speed of the last seconds; none before it is known.
        bytes_per_second: Option<f64>,
    },
    /// Files are read and weights evaluated.
    Loading,
}

/// How far one file has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProgress {
    /// Its name in the repository.
    pub name: String,
    /// Bytes that are here so far.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

impl FileProgress {
    /// The share that is here, from 0 to 100.
    pub fn percent(&self) -> u64 {
        self.done_bytes * 100 / self.total_bytes.max(1)
    }
}

impl LoadProgress {
    /// Seconds until all files are here at the present speed.
    pub fn seconds_left(&self) -> Option<f64> {
        match self {
            Self::Downloading { done_bytes, total_bytes: Some(total), bytes_per_second: Some(speed), .. }
                if *speed > 0.0 =>
            {
                Some(total.saturating_sub(*done_bytes) as f64 / speed)
            }
            _ => None,
        }
    }
}

/// A model in figures, as the load of its weights found them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// config.json's `model_type`.
    pub architecture: String,
    /// Weights counted as if they were not quantised.
    pub parameters: u64,
    /// Bytes that the evaluated weights take on the device.
    pub weight_bytes: u64,
    /// Bytes that one token takes in a session's KV cache.
    pub kv_bytes_per_token: u64,
    /// The most tokens that prompt and answer may have together.
    pub context_length: u32,
    /// Where it computes.
    pub device: DeviceKind,
    /// Seconds from opening the files to evaluated weights.
    pub load_seconds: f64,
    /// The cohort width of exact execution, or why the model can't run exactly.
    pub exact_width: Result<u32, String>,
    /// Bits that dense weights were packed to while they loaded; none where they are as they are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed_bits: Option<u32>,
}

/// A loaded model, in figures. In JSON the facts stand beside the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Where it came from.
    pub source: ModelSource,
    /// The name shown to people: the hub id, the folder's or the file's name.
    pub name: String,
    /// What the load of its weights found.
    #[serde(flatten)]
    pub facts: ModelFacts,
    /// Whether the chat template has a thinking switch.
    pub can_think: bool,
    /// Whether the chat template takes tools.
    pub can_use_tools: bool,
}
