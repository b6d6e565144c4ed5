//! The console report of a parallel run, in the words and symbols of the demo that this program grew from.

use crate::protocol::{EvaluationResult, FinishReason, ParallelConfig, RunReport};
use std::fmt::Write;

const RULE: &str = "============================================================";
/// How much of a prompt fits a line, in characters.
const PROMPT_WIDTH: usize = 80;
/// How much of an answer fits a line, in characters.
const TEXT_WIDTH: usize = 100;

/// What stands above the run: its settings, and a line for each session that starts.
pub fn opening(config: &ParallelConfig, model: &str) -> String {
    let mut text = format!(
        "🎯 Starting parallel LLM evaluation with {sessions} sessions\n\
         📋 Model: {model}\n\
         🔥 Temperature: {temperature:?}\n\
         📝 Max tokens: {max_tokens}\n\
         \n\
         ⚡ Running {sessions} evaluation sessions concurrently...\n\
         💡 Note: GPU operations will serialize, but CPU preprocessing can run in parallel\n\
         \n",
        sessions = config.sessions,
        temperature = config.temperature,
        max_tokens = config.max_tokens,
    );
    for index in 0..config.sessions {
        let prompt = one_line(config.prompt(index), PROMPT_WIDTH);
        let _ = writeln!(text, "🚀 Starting session {index} with prompt: {prompt}...");
    }
    text.push('\n');
    text
}

/// The line that says how a session ended.
pub fn ended(result: &EvaluationResult) -> String {
    let EvaluationResult { id, tokens_per_second, tokens, .. } = result;
    match result.finish_reason {
        FinishReason::Error => format!("❌ Session {id} failed: {}\n", error(result)),
        FinishReason::Cancelled => {
            format!("⏹️  Session {id} stopped: {tokens_per_second:.2} tokens/sec, {tokens} tokens\n")
        }
        _ => format!("✅ Session {id} completed: {tokens_per_second:.2} tokens/sec, {tokens} tokens\n"),
    }
}

/// What stands below the run: each session's results, and the whole run's.
pub fn results(report: &RunReport) -> String {
    let mut text = format!("\n{RULE}\n📊 PARALLEL EVALUATION RESULTS\n{RULE}\n");
    let has_several = report.sessions.windows(2).any(|pair| pair[0].origin != pair[1].origin);
    for result in &report.sessions {
        let origin = if has_several { format!("   📋 Model: {}\n", result.origin) } else { String::new() };
        let _ = write!(text, "{}", session(result, &origin));
    }
    let _ = write!(
        text,
        "📈 Average performance: {:.2} tokens/sec across {} sessions\n\
         ⏱️  Total time: {:.2}s\n\
         \n\
         🔒 Thread safety maintained through:\n   \
            • Pre-evaluated model weights\n   \
            • Task-local random states\n   \
            • Session-isolated KV caches\n   \
            • GPU operation serialization\n",
        report.average_tokens_per_second,
        report.sessions.len(),
        report.wall_time_s,
    );
    text
}

/// `origin` is a line of its own where sessions ran on several engines or models.
fn session(result: &EvaluationResult, origin: &str) -> String {
    let mut text = format!(
        "🎯 Session {}:\n{origin}   📝 Prompt: {}...\n   📊 Performance: {:.2} tokens/sec\n   🔢 Tokens: {}\n   ⏱️  Duration: {:.2}s\n   \
         💬 Generated: {}...\n",
        result.id,
        one_line(&result.prompt, PROMPT_WIDTH),
        result.tokens_per_second,
        result.tokens,
        result.duration_s,
        one_line(&result.text, TEXT_WIDTH),
    );
    if result.finish_reason == FinishReason::Error {
        let _ = writeln!(text, "   ❌ Error: {}", error(result));
    }
    text.push('\n');
    text
}

fn error(result: &EvaluationResult) -> &str {
    result.error.as_deref().unwrap_or("no reason given")
}

/// The beginning of `text` on one line.
fn one_line(text: &str, width: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(width).collect::<String>().trim_end().to_owned()
}
