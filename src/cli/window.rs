//! `llmeval` without a command: the window, or the terminal report where no window can be opened.

use super::{NOT_STARTED, ParallelArguments, parallel};
use crate::app::{self, Loader, Storage, WindowError, World};
use crate::engine::EngineSettings;
use crate::evaluation::load_model;
use crate::platform::{self, GpuProblem};
use anyhow::bail;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::runtime::Runtime;

pub(super) fn run(runtime: &Runtime) -> anyhow::Result<u8> {
    // macOS draws windows with Metal as well, so this one is told without a window of ours.
    if let Some(problem @ GpuProblem::NoDevice) = platform::gpu_problem() {
        bail!(problem);
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the window opens");
    let loader: Loader = Arc::new(|source, progress| {
        Box::pin(async move {
            let model = load_model(source, EngineSettings::default(), move |step| progress(step)).await?;
            Ok(model)
        })
    });
    let world = World { loader, dialogs: app::system_dialogs(), storage: Storage::platform()?, model: None };
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
            runtime.block_on(parallel::run(ParallelArguments::default()))
        }
        Err(error) => Err(error.into()),
    }
}
