//! `llmeval bench`: the same run at several numbers of sessions, as a Markdown table or JSON.

use super::arguments::BenchArguments;
use super::exit::{FAILED, INTERRUPTED};
use super::interrupt::Interrupt;
use super::load::load;
use super::progress::RunBar;
use crate::protocol::{Execution, ModelSummary, ScalingRow, rate};
use crate::session::scaling::{check, scaling};
use std::io::{self, Write};

pub(super) async fn run(arguments: BenchArguments) -> anyhow::Result<u8> {
    let config = arguments.settings.config(1, Execution::default())?;
    check(&config, &arguments.sessions)?;
    let executions: Vec<Execution> = arguments.execution.iter().map(|execution| (*execution).into()).collect();
    let mut interrupt = Interrupt::listen()?;
    let quiet = arguments.output.quiet;
    let Some(model) = load(&config.model, &arguments.settings, quiet, &mut interrupt).await? else {
        return Ok(INTERRUPTED);
    };
    let bar = RunBar::new(quiet);
    let total = (executions.len() * arguments.sessions.len()) as u32;
    let progress = |done: &[ScalingRow], _, _| bar.show(done.len() as u32, total);
    let rows = tokio::select! {
        rows = scaling(&model, &config, &arguments.sessions, &executions, progress) => Some(rows),
        () = interrupt.pressed() => None,
    };
    bar.clear();
    model.engine().shutdown().await;
    let Some(rows) = rows.transpose()? else { return Ok(INTERRUPTED) };
    let mut stdout = io::stdout();
    if arguments.output.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        stdout.write_all(table(model.summary(), config.max_tokens, &rows).as_bytes())?;
    }
    for row in rows.iter().filter(|row| row.failed > 0) {
        let error = row.error.as_deref().unwrap_or("no reason given");
        let ScalingRow { execution, sessions, failed, .. } = row;
        writeln!(io::stderr(), "llmeval: {execution}, {sessions} sessions: {failed} failed: {error}")?;
    }
    Ok(if rows.iter().any(|row| row.failed > 0) { FAILED } else { 0 })
}

fn table(model: &ModelSummary, max_tokens: u32, rows: &[ScalingRow]) -> String {
    let mut text = format!(
        "{} on {}, up to {max_tokens} tokens a session\n\n\
         | execution | sessions | tokens/s | tokens/s each | first token p50, ms | p95, ms | peak memory, MB | speed-up |\n\
         |---|---|---|---|---|---|---|---|\n",
        model.name,
        model.facts.device.name(),
    );
    for row in rows {
        let speed_up = row.speed_up.map_or_else(String::new, |speed_up| format!("{speed_up:.2} ×"));
        let peak = row.peak_memory_bytes.map_or_else(String::new, |peak| format!("{:.0}", peak as f64 / 1e6));
        text.push_str(&format!(
            "| {} | {} | {} | {} | {:.0} | {:.0} | {peak} | {speed_up} |\n",
            row.execution,
            row.sessions,
            rate(row.tokens_per_second),
            rate(row.tokens_per_second_per_session),
            row.time_to_first_token_p50_ms,
            row.time_to_first_token_p95_ms,
        ));
    }
    text
}
