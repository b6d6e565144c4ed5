//! Three prompts over one model in one call: `cargo run --release --example parallel_evaluation`.

use llmeval::{EvaluationError, ParallelConfig, run_parallel_evaluation};
use std::io::{Write, stdout};

#[tokio::main]
async fn main() -> Result<(), EvaluationError> {
    let config = ParallelConfig {
        prompts: ["Write a haiku about AI.", "Explain neural networks simply.", "What is machine learning?"]
            .map(str::to_owned)
            .to_vec(),
        max_tokens: 60,
        ..ParallelConfig::default()
    };
    let report = run_parallel_evaluation(config).await?;
    for session in &report.sessions {
        writeln!(stdout(), "{}\n  {} ({})\n", session.prompt, session.text.trim(), session.finish_reason)?;
    }
    writeln!(stdout(), "{} tokens, {:.1} tokens/s", report.total_tokens, report.tokens_per_second)?;
    Ok(())
}
