//! The figures that the parallel run must reach, measured in one process: `cargo bench --bench parallel`.
//!
//! Every figure is the median of several turns in which all runs take part, so that a busy machine slows them alike.

use llmeval::engine::EngineSettings;
use llmeval::protocol::{Execution, ModelSource, RunReport};
use llmeval::session::{LoadedModel, ParallelRun};
use llmeval::{ParallelConfig, load_model};
use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;
use tokio::sync::mpsc;

const TURNS: usize = 5;
const MAX_TOKENS: u32 = 64;

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
        summary.facts.device.name(),
        summary.facts.load_seconds
    )?;
    throughput(&model).await?;
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
            peak_bytes = peak_bytes.max(report.peak_memory_bytes.unwrap_or_default());
        }
    }
    let [one, serialized, batched] = whole.map(median);
    let [decode_one, _, decode_batched] = decode.map(median);
    let weights = model.summary().facts.weight_bytes;
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

async fn run(model: &LoadedModel, execution: Execution, sessions: u32) -> Outcome<RunReport> {
    let config = ParallelConfig { sessions, execution, max_tokens: MAX_TOKENS, ..ParallelConfig::default() };
    // Each run reads its own prompts.
    model.engine().forget_prompts()?;
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
