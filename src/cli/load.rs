//! Loads the model of a command, with progress, until Ctrl-C.

use super::RunSettings;
use super::interrupt::Interrupt;
use super::progress::LoadBar;
use crate::evaluation::load_model_with;
use crate::protocol::ModelSource;
use crate::session::LoadedModel;
use anyhow::Context;
use std::io::{self, Write};

/// Loads the model; none, and a word about it, where Ctrl-C came first.
pub(super) async fn load(
    source: &ModelSource,
    settings: &RunSettings,
    quiet: bool,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Option<LoadedModel>> {
    tracing::info!(model = %source, "load started");
    let bar = LoadBar::new(source.display_name(), quiet);
    let show = |progress| bar.show(&progress);
    let load = load_model_with(source.clone(), settings.engine(), settings.load_options(), show);
    let loaded = tokio::select! {
        loaded = load => Some(loaded),
        () = interrupt.pressed() => None,
    };
    bar.clear();
    if loaded.is_none() {
        writeln!(io::stderr(), "llmeval: stopped before any session started")?;
    }
    loaded.transpose().with_context(|| format!("{} can't be loaded", source.display_name()))
}
