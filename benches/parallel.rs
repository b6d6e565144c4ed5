//! The figures that the parallel run must reach, measured in one process: `cargo bench --bench parallel`.
//!
//! Every figure is the median of several turns in which all runs take part, so that a busy machine slows them alike.

use llmeval::engine::EngineSettings;
use llmeval::protocol::{Execution, ModelSource, RunReport, SessionId, UpdateKind};
use llmeval::session::{LoadedModel, ParallelRun};
use llmeval::{ParallelConfig, load_model};
use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const TURNS: usize = 5;
const MAX_TOKENS: u32 = 64;
const LONG_PROMPT_TOKENS: usize = 4000;
const RUNNING_STREAMS: u32 = 8;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let model = load_model(ModelSource::Starter, EngineSettings::default(), |_| {}).await?;
    let summary = model.summary();
    let cores = std::thread::available_parallelism()?;
    writeln!(
        stdout(),
        "{} on {} ({cores} cores), loaded in {:.2} s",
        summary.name,
        summary.device.name(),
        summary.load_seconds
    )?;
    throughput(&model).await?;
    stall(&model).await?;
    model.engine().shutdown().await;
    Ok(())
}

/// One session, sixteen serialized, sixteen batched, in turns.
async fn throughput(model: &LoadedModel) -> Outcome<()> {
    let kinds = [(Execution::Batched, 1), (Execution::Serialized, 16), (Execution::Batched, 16)];
    let mut whole = [const { Vec::new() }; 3];
    let mut decode = [const { Vec::new() }; 3];
    let mut peak_bytes = 0;
    for _ in 0..TURNS {
        for (place, (execution, sessions)) in kinds.into_iter().enumerate() {
            let report = run(model, execution, sessions).await?;
            whole[place].push(report.tokens_per_second);
            decode[place].push(decode_tokens_per_second(&report));
            peak_bytes = peak_bytes.max(report.peak_memory_bytes);
        }
    }
    let [one, serialized, batched] = whole.map(median);
    let [decode_one, _, decode_batched] = decode.map(median);
    let weights = model.summary().weight_bytes;
    writeln!(stdout(), "1 session:              {one:7.1} tokens/s")?;
    writeln!(stdout(), "16 sessions serialized: {serialized:7.1} tokens/s")?;
    writeln!(stdout(), "16 sessions batched:    {batched:7.1} tokens/s")?;
    writeln!(stdout(), "batched 16 / 1:            {:5.2}", batched / one)?;
    writeln!(stdout(), "batched / serialized:      {:5.2}", batched / serialized)?;
    writeln!(stdout(), "decode alone, 16 / 1:      {:5.2}", decode_batched / decode_one)?;
    writeln!(
        stdout(),
        "peak memory / weights:     {:5.2} ({} MB)",
        peak_bytes as f64 / weights as f64,
        peak_bytes / 1_000_000
    )?;
    Ok(())
}

/// A long prompt joins running streams: how long did a stream pause, and when came the joiner's first token?
async fn stall(model: &LoadedModel) -> Outcome<()> {
    let ids = model.text().encode_raw("All work and no play makes a dull model. ")?;
    let long = "All work and no play makes a dull model. ".repeat(LONG_PROMPT_TOKENS.div_ceil(ids.len()));
    let (sender, mut updates) = mpsc::channel(4096);
    let streams = ParallelConfig { sessions: RUNNING_STREAMS, max_tokens: 2000, ..ParallelConfig::default() };
    let run = ParallelRun::start(model, streams, sender, Arc::new(|| {}))?;
    let mut last_token = vec![None; RUNNING_STREAMS as usize];
    while last_token.iter().any(Option::is_none) {
        let Some(update) = updates.recv().await else { return Ok(()) };
        note(&mut last_token, update.id, &update.kind);
    }
    let (joiner_sender, mut joiner_updates) = mpsc::channel(4096);
    let joiner =
        ParallelConfig { sessions: 1, prompts: vec![long], raw: true, max_tokens: 4, ..ParallelConfig::default() };
    let joiner = ParallelRun::start(model, joiner, joiner_sender, Arc::new(|| {}))?;
    let mut longest = Duration::ZERO;
    loop {
        tokio::select! {
            Some(update) = updates.recv() => {
                if let Some(pause) = note(&mut last_token, update.id, &update.kind) {
                    longest = longest.max(pause);
                }
            }
            update = joiner_updates.recv() => if update.is_none() { break },
        }
    }
    let joined = joiner.finish().await;
    drop(updates);
    run.stop_handle().stop_all();
    run.finish().await;
    let session = &joined.sessions[0];
    writeln!(
        stdout(),
        "a prompt of {} tokens joins {RUNNING_STREAMS} streams: longest pause of a stream {} ms, its first token after {:.1} s",
        session.prompt_tokens,
        longest.as_millis(),
        session.time_to_first_token_ms.unwrap_or_default() / 1000.0,
    )?;
    Ok(())
}

/// Notes when a session's tokens came; gives the time since its last ones.
fn note(last_token: &mut [Option<Instant>], id: SessionId, kind: &UpdateKind) -> Option<Duration> {
    let UpdateKind::Tokens { .. } = kind else { return None };
    let now = Instant::now();
    last_token[id.0 as usize].replace(now).map(|last| now - last)
}

async fn run(model: &LoadedModel, execution: Execution, sessions: u32) -> Outcome<RunReport> {
    let config = ParallelConfig { sessions, execution, max_tokens: MAX_TOKENS, ..ParallelConfig::default() };
    let (updates, _) = mpsc::channel(1);
    Ok(ParallelRun::start(model, config, updates, Arc::new(|| {}))?.finish().await)
}

/// The sum of what each session saw between its first and its last token.
fn decode_tokens_per_second(report: &RunReport) -> f64 {
    report.sessions.iter().map(|session| session.tokens_per_second).sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
