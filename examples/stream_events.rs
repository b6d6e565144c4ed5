//! Watches sessions while they run, over a model that stays loaded, and stops one of them:
//! `cargo run --release --example stream_events`.

use llmeval::engine::EngineSettings;
use llmeval::protocol::{ModelSource, SessionId, UpdateKind};
use llmeval::session::ParallelRun;
use llmeval::{EvaluationError, ParallelConfig, load_model};
use std::io::{Write, stdout};
use std::sync::Arc;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), EvaluationError> {
    let model = load_model(ModelSource::Starter, EngineSettings::default(), |_| {}).await?;
    let (sender, mut updates) = mpsc::channel(256);
    // A window would pass a closure here that asks for a repaint.
    let wake = Arc::new(|| {});
    let run = ParallelRun::start(&model, ParallelConfig::default(), sender, wake)?;
    let stops = run.stop_handle();
    while let Some(update) = updates.recv().await {
        match update.kind {
            UpdateKind::Submitted { prompt_tokens: Some(prompt_tokens) } => {
                writeln!(stdout(), "{:6.2} s  session {}: {prompt_tokens} prompt tokens", update.at_s, update.id)?;
            }
            UpdateKind::Tokens { text, tokens } => {
                writeln!(stdout(), "{:6.2} s  session {}: {tokens:3} tokens, {text:?}", update.at_s, update.id)?;
                if update.id == SessionId(0) && tokens >= 20 {
                    stops.stop(update.id);
                }
            }
            UpdateKind::Ended(result) => {
                writeln!(stdout(), "{:6.2} s  session {}: {}", update.at_s, update.id, result.finish_reason)?;
            }
            _ => {}
        }
    }
    let report = run.finish().await;
    writeln!(stdout(), "{} tokens in {:.2} s", report.total_tokens, report.wall_time_s)?;
    model.engine().shutdown().await;
    Ok(())
}
