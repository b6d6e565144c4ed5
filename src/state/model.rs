//! The model as the window shows it: which one, how its load goes, and which others there are.

use crate::protocol::{ListedModel, LoadProgress, ModelSource, ModelSummary, OnDisk, bytes, parameters};

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
    /// Its download was paused; what came of it is kept.
    Paused {
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
            Self::Loading { source, .. } | Self::Paused { source, .. } | Self::Failed { source, .. } => Some(source),
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

/// What is known of a listed model, in lines: "mlx-community/Qwen3-1.7B-4bit • 1.7B parameters • 4 bits • 40960 context •
/// can think" over "Memory 3.9 GB, with 8 sessions 7.1 GB • temperature 0.6, top-p 0.95, top-k 20".
pub fn note(model: &ListedModel) -> Vec<String> {
    let memory =
        model.memory_bytes.map(|[one, eight]| format!("Memory {}, with 8 sessions {}", bytes(one), bytes(eight)));
    let Some(entry) = &model.entry else {
        let parameters = model.parameters.map(|count| format!("{} parameters", parameters(count)));
        let known = ["In the cache of this machine".to_owned()].into_iter().chain(parameters).chain(memory);
        return vec![known.collect::<Vec<_>>().join(" • ")];
    };
    let thinking = if entry.can_think { " • can think" } else { "" };
    let first = format!(
        "{} • {} parameters • {} bits • {} context{thinking}",
        entry.id,
        parameters(entry.parameters),
        entry.bits,
        entry.context_length
    );
    let second: Vec<String> = [memory, entry.sampling.words()].into_iter().flatten().collect();
    vec![first, second.join(" • ")]
}

/// Tokens that end a listed model's answers although its own files don't say so, in words.
pub fn stops(model: &ListedModel) -> Option<String> {
    let tokens = &model.entry.as_ref()?.extra_stop_tokens;
    (!tokens.is_empty()).then(|| format!("Answers also stop at {}", tokens.join(" ")))
}

/// The short name of a source, for titles: a folder's or file's own name instead of its whole path.
pub fn short_name(source: &ModelSource) -> String {
    match source {
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
        }
        ModelSource::Starter | ModelSource::Hub(_) => source.display_name(),
    }
}

/// The heading and the detail of a load's progress, and its share where one is known:
/// "Downloading NAME (42%)" over "1.2 GB of 2.4 GB at 20.0 MB/s, about 60 s left" and a line for each file that is coming.
pub fn progress_words(source: &ModelSource, progress: &LoadProgress) -> (String, String, Option<f32>) {
    let name = short_name(source);
    match progress {
        LoadProgress::Downloading { files, done_bytes, total_bytes: Some(total), bytes_per_second, .. }
            if *total > 0 =>
        {
            let share = (*done_bytes as f64 / *total as f64).clamp(0.0, 1.0) as f32;
            let heading = format!("Downloading {name} ({:.0}%)", share * 100.0);
            let mut detail = format!("{} of {}", bytes(*done_bytes), bytes(*total));
            if let Some(speed) = bytes_per_second {
                detail.push_str(&format!(" at {}/s", bytes(*speed as u64)));
            }
            if let Some(left) = progress.seconds_left() {
                detail.push_str(&format!(", about {} left", duration(left)));
            }
            for file in files {
                detail.push_str(&format!("\n{}: {}% of {}", file.name, file.percent(), bytes(file.total_bytes)));
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
