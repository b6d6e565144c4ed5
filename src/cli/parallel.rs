//! `llmeval parallel`: one run, reported in words or as JSON.

use super::arguments::ParallelArguments;
use super::exit::{FAILED, INTERRUPTED};
use super::interrupt::Interrupt;
use super::load::load;
use crate::evaluation::{UPDATE_BUFFER, report_run};
use crate::hub::Machine;
use crate::protocol::{Execution, FinishReason, MemoryPrediction, ParallelConfig, RunReport};
use crate::session::{LoadedModel, ParallelRun, report};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) async fn run(arguments: ParallelArguments) -> anyhow::Result<u8> {
    let mut config = arguments.config()?;
    config.validate()?;
    let mut interrupt = Interrupt::listen()?;
    let quiet = arguments.output.quiet;
    let Some(model) = load(&config.model, &arguments.settings, quiet, &mut interrupt).await? else {
        return Ok(INTERRUPTED);
    };
    if let (None, Err(reason)) = (arguments.execution, &model.summary().facts.exact_width) {
        config.execution = Execution::Batched;
        if !quiet {
            writeln!(io::stderr(), "llmeval: runs batched, not exact: {reason}")?;
        }
    }
    let report = run_loaded(&model, &config, &arguments, &interrupt).await;
    model.engine().shutdown().await;
    let report = report?;
    Ok(match () {
        () if interrupt.was_pressed() => INTERRUPTED,
        () if report.sessions.iter().any(|session| session.finish_reason == FinishReason::Error) => FAILED,
        () => 0,
    })
}

async fn run_loaded(
    model: &LoadedModel,
    config: &ParallelConfig,
    arguments: &ParallelArguments,
    interrupt: &Interrupt,
) -> anyhow::Result<RunReport> {
    let memory = MemoryPrediction::of(config, &model.summary().facts, Machine::memory_now());
    if let Some(refusal) = memory.refusal(config.sessions) {
        anyhow::bail!(refusal);
    }
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
    let report = if arguments.output.json || arguments.output.quiet {
        // Nobody watches the run, so its updates need no reader.
        drop(reader);
        let report = run.finish().await;
        if arguments.output.json {
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
