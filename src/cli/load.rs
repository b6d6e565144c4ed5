//! Loads the model of a command, with progress, until Ctrl-C.

use super::interrupt::Interrupt;
use super::progress::LoadBar;
use crate::engine::EngineSettings;
use crate::evaluation::load_model;
use crate::protocol::ModelSource;
use crate::session::LoadedModel;
use anyhow::Context;
use std::io::{self, Write};

/// Loads the model; none, and a word about it, where Ctrl-C came first.
pub(super) async fn load(
    source: &ModelSource,
    settings: EngineSettings,
    quiet: bool,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Option<LoadedModel>> {
    let bar = LoadBar::new(source.display_name(), quiet);
    let loaded = tokio::select! {
        loaded = load_model(source.clone(), settings, |progress| bar.show(&progress)) => Some(loaded),
        () = interrupt.pressed() => None,
    };
    bar.clear();
    if loaded.is_none() {
        writeln!(io::stderr(), "llmeval: stopped before any session started")?;
    }
    loaded.transpose().with_context(|| format!("{} can't be loaded", source.display_name()))
}
