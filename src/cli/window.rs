//! `llmeval` without a command: the window, or the terminal report where no window can be opened.

use super::arguments::ParallelArguments;
use super::exit::NOT_STARTED;
use super::{log_file, parallel};
use crate::app::{self, Inbox, Loader, Storage, WindowError, World};
use crate::engine::EngineSettings;
use crate::evaluation::{LoadOptions, load_model_with};
use crate::model::Quantization;
use crate::platform::{self, GpuProblem, InstanceError, SingleInstance, Start};
use anyhow::bail;
use std::io::{self, Write};
use std::path::{self, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Weights that share a scale where the window asks for fewer bits.
const GROUP_SIZE: i32 = 64;

pub(super) fn run(runtime: &Runtime, files: Vec<PathBuf>) -> anyhow::Result<u8> {
    // macOS draws windows with Metal as well, so this one is told without a window of ours.
    if let Some(problem @ GpuProblem::NoDevice) = platform::gpu_problem() {
        bail!(problem);
    }
    let files = files.iter().map(path::absolute).collect::<io::Result<Vec<_>>>()?;
    let mut fallback = ParallelArguments::default();
    if let Some(model) = files.iter().find(|file| file.extension().is_none_or(|extension| extension != "json")) {
        fallback.settings.model = model.display().to_string();
    }
    let instance = match claim(&files)? {
        Some(Start::First(instance)) => Some(instance),
        Some(Start::HandedOver) => {
            writeln!(io::stderr(), "llmeval: it is open already; its window comes to the front")?;
            return Ok(0);
        }
        None => None,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the window opens");
    let inbox = Inbox::default();
    if !files.is_empty() {
        inbox.open(files);
    }
    let loader: Loader = Arc::new(|source, packing, progress| {
        Box::pin(async move {
            let quantize = packing.bits().map(|bits| Quantization::new(bits, GROUP_SIZE)).transpose()?;
            let options = LoadOptions { quantize, quantizes_if_dense: true, ..LoadOptions::default() };
            let progress = move |step| progress(step);
            Ok(load_model_with(source, EngineSettings::default(), options, progress).await?)
        })
    });
    let world = World { loader, dialogs: app::system_dialogs(), storage: Storage::platform()?, inbox, instance };
    let guard = runtime.enter();
    let outcome = app::run(world);
    drop(guard);
    match outcome {
        Ok(()) => {
            tracing::info!("the window was closed");
            Ok(0)
        }
        Err(error @ WindowError::NoDisplay(_)) if platform::show_problem(&error.to_string()) => Ok(NOT_STARTED),
        Err(error @ WindowError::NoDisplay(_)) => {
            writeln!(io::stderr(), "llmeval: {error}. Here is the parallel demo's report instead.")?;
            runtime.block_on(parallel::run(fallback))
        }
        Err(error) => Err(error.into()),
    }
}

/// The window may have no terminal: what goes wrong is in a file too.
pub(super) fn start_logging() {
    log_file::start();
}

/// Shows `error` to a person who reads no terminal.
pub(super) fn show_problem(error: &anyhow::Error) {
    platform::show_problem(&format!("{error:#}"));
}

/// Becomes the only window, or hands `files` to the one that is; none where this account has no place for a lock, which
/// is no reason to stay closed.
fn claim(files: &[PathBuf]) -> Result<Option<Start>, InstanceError> {
    let Some(folder) = platform::runtime_folder() else { return Ok(None) };
    match SingleInstance::claim(&folder, files) {
        Ok(start) => Ok(Some(start)),
        Err(error @ InstanceError::Folder { .. }) => {
            tracing::warn!("a second start will open a second window: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
