//! The model as the window shows it: which one, how its load goes, and which others there are.

use super::memory::{bytes, parameters};
use crate::protocol::{ListedModel, LoadProgress, ModelSource, ModelSummary, OnDisk};

/// The model as the window shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ModelState {
    /// None was asked for yet.
    #[default]
    Absent,
    /// It is coming.
    Loading {
        /// Where from.
        source: ModelSource,
        /// How far.
        progress: LoadProgress,
    },
    /// It is here.
    Loaded(ModelSummary),
    /// It did not come.
    Failed {
        /// Where from.
        source: ModelSource,
        /// What happened and what to do.
        message: String,
    },
}

impl ModelState {
    /// The loaded model.
    pub fn loaded(&self) -> Option<&ModelSummary> {
        match self {
            Self::Loaded(summary) => Some(summary),
            _ => None,
        }
    }

    /// Whether a load is under way.
    pub fn is_loading(&self) -> bool {
        matches!(self, Self::Loading { .. })
    }

    /// Where the model comes from.
    pub fn source(&self) -> Option<&ModelSource> {
        match self {
            Self::Absent => None,
            Self::Loading { source, .. } | Self::Failed { source, .. } => Some(source),
            Self::Loaded(summary) => Some(&summary.source),
        }
    }
}

/// Where a listed model's files are: "98.4 MB on disk", "1.1 GB to download".
pub fn place(model: &ListedModel) -> String {
    match (model.on_disk, &model.entry) {
        (OnDisk::Whole { bytes: count }, _) => format!("{} on disk", bytes(count)),
        (OnDisk::Partly { bytes: count }, _) => format!("{} of it on disk", bytes(count)),
        (OnDisk::No, Some(entry)) => format!("{} to download", bytes(entry.download_bytes)),
        (OnDisk::No, None) => "not downloaded".into(),
    }
}

/// One line about a listed model: "Qwen3 • 1.7B parameters • 4 bits • 40960 tokens of context".
pub fn note(model: &ListedModel) -> String {
    match &model.entry {
        Some(entry) => format!(
            "{} • {} parameters • {} bits • {} tokens of context",
            entry.family,
            parameters(entry.parameters),
            entry.bits,
            entry.context_length
        ),
        None => "In the cache of this machine".into(),
    }
}

/// The short name of a source, for titles: a folder's or file's own name instead of its whole path.
pub fn short_name(source: &ModelSource) -> String {
    match source {
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
        }
        ModelSource::Starter | ModelSource::Hub(_) => source.to_string(),
    }
}

/// The heading and the detail of a load's progress, and its share where one is known:
/// "Downloading NAME (42%)" over "1.2 GB of 2.4 GB" or "File 2 of 7".
pub fn progress_words(source: &ModelSource, progress: &LoadProgress) -> (String, String, Option<f32>) {
    let name = short_name(source);
    match progress {
        LoadProgress::Downloading { done_bytes, total_bytes: Some(total), .. } if *total > 0 => {
            let share = (*done_bytes as f64 / *total as f64).clamp(0.0, 1.0) as f32;
            let heading = format!("Downloading {name} ({:.0}%)", share * 100.0);
            let mut detail = format!("{} of {}", bytes(*done_bytes), bytes(*total));
            if let Some(left) = progress.seconds_left() {
                detail.push_str(&format!(", about {} left", duration(left)));
            }
            (heading, detail, Some(share))
        }
        LoadProgress::Downloading { done_files, total_files, .. } => {
            let detail = format!("File {} of {total_files}", (done_files + 1).min((*total_files).max(1)));
            (format!("Downloading {name}"), detail, Some(*done_files as f32 / (*total_files).max(1) as f32))
        }
        LoadProgress::Loading => (format!("Loading {name}"), "Reading and evaluating weights".into(), None),
    }
}

/// Seconds for a person: "40 s", "3 min".
fn duration(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
