//! `llmeval parallel`: one run, reported in words or as JSON.

use super::interrupt::Interrupt;
use super::progress::LoadBar;
use super::{FAILED, INTERRUPTED, ParallelArguments};
use crate::engine::EngineSettings;
use crate::evaluation::{UPDATE_BUFFER, load_model, report_run};
use crate::protocol::{FinishReason, ParallelConfig, RunReport};
use crate::session::{LoadedModel, ParallelRun, report};
use anyhow::Context;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) async fn run(arguments: ParallelArguments) -> anyhow::Result<u8> {
    let config = arguments.config()?;
    config.validate()?;
    let mut interrupt = Interrupt::listen();
    let settings =
        EngineSettings { max_stall: Duration::from_millis(arguments.max_stall_ms), ..EngineSettings::default() };
    let Some(model) = load(&config, settings, arguments.quiet, &mut interrupt).await? else {
        writeln!(io::stderr(), "llmeval: stopped before any session started")?;
        return Ok(INTERRUPTED);
    };
    let report = run_loaded(&model, &config, &arguments, &interrupt).await;
    model.engine().shutdown().await;
    let report = report?;
    Ok(match () {
        () if interrupt.was_pressed() => INTERRUPTED,
        () if report.sessions.iter().any(|session| session.finish_reason == FinishReason::Error) => FAILED,
        () => 0,
    })
}

/// Loads the model; none where Ctrl-C came first.
pub(super) async fn load(
    config: &ParallelConfig,
    settings: EngineSettings,
    quiet: bool,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Option<LoadedModel>> {
    let bar = LoadBar::new(config.model.display_name(), quiet);
    let loaded = tokio::select! {
        loaded = load_model(config.model.clone(), settings, |progress| bar.show(&progress)) => Some(loaded),
        () = interrupt.pressed() => None,
    };
    bar.clear();
    loaded.transpose().with_context(|| format!("{} can't be loaded", config.model.display_name()))
}

async fn run_loaded(
    model: &LoadedModel,
    config: &ParallelConfig,
    arguments: &ParallelArguments,
    interrupt: &Interrupt,
) -> anyhow::Result<RunReport> {
    let (updates, reader) = mpsc::channel(UPDATE_BUFFER);
    let run = ParallelRun::start(model, config.clone(), updates, Arc::new(|| {}))?;
    tracing::info!(sessions = config.sessions, model = model.summary().name, "run started");
    let stops = run.stop_handle();
    let mut interrupt = interrupt.clone();
    let stopper = tokio::spawn(async move {
        interrupt.pressed().await;
        stops.stop_all();
    });
    let name = &model.summary().name;
    let mut stdout = io::stdout();
    let report = if arguments.json || arguments.quiet {
        // Nobody watches the run, so its updates need no reader.
        drop(reader);
        let report = run.finish().await;
        if arguments.json {
            writeln!(stdout, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            stdout.write_all(report::results(&report).as_bytes())?;
        }
        report
    } else {
        report_run(run, reader, config, name, &mut stdout).await?
    };
    stopper.abort();
    Ok(report)
}
