//! `llmeval verify`: each session alone and among others, compared; a table, or JSON.

use super::arguments::VerifyArguments;
use super::exit::{FAILED, INTERRUPTED};
use super::interrupt::Interrupt;
use super::load::load;
use super::progress::RunBar;
use crate::session::verify::{Comparison, Verdict, VerifyReport, verify};
use std::io::{self, Write};

pub(super) async fn run(arguments: VerifyArguments) -> anyhow::Result<u8> {
    let config = arguments.settings.config(arguments.sessions, arguments.execution.into())?;
    config.validate()?;
    let mut interrupt = Interrupt::listen()?;
    let quiet = arguments.output.quiet;
    let Some(model) = load(&config.model, &arguments.settings, quiet, &mut interrupt).await? else {
        return Ok(INTERRUPTED);
    };
    let bar = RunBar::new(quiet);
    let report = tokio::select! {
        report = verify(&model, &config, arguments.rounds, |done, total| bar.show(done, total)) => Some(report),
        () = interrupt.pressed() => None,
    };
    bar.clear();
    model.engine().shutdown().await;
    let Some(report) = report.transpose()? else { return Ok(INTERRUPTED) };
    let mut stdout = io::stdout();
    if arguments.output.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        stdout.write_all(table(&report).as_bytes())?;
    }
    Ok(if report.is_equal() { 0 } else { FAILED })
}

/// The comparisons as a Markdown table, and what they add up to.
fn table(report: &VerifyReport) -> String {
    let mut text = format!(
        "{}, {} execution: {} sessions, {} rounds\n\n| round | session | joined after | tokens | verdict |\n\
         |---|---|---|---|---|\n",
        report.origin, report.execution, report.config.sessions, report.rounds
    );
    for Comparison { round, id, tokens, joined_after, cancelled, verdict } in &report.comparisons {
        let cancelled = if *cancelled { ", cancelled" } else { "" };
        text.push_str(&format!("| {round} | {id} | {joined_after} | {tokens}{cancelled} | {} |\n", words(verdict)));
    }
    let verdicts = || report.comparisons.iter().map(|comparison| &comparison.verdict);
    let (equal, all) = (verdicts().filter(|verdict| verdict.is_equal()).count(), report.comparisons.len());
    let compared = match verdicts().any(|verdict| matches!(verdict, Verdict::TextEqual | Verdict::TextDiffers(_))) {
        true => "in their texts: this engine tells no token ids",
        false => "tokens and logits, bit for bit",
    };
    text.push_str(&format!("\n{equal} of {all} equal to the same session alone, {compared}\n"));
    text
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Equal => "equal".to_owned(),
        Verdict::TextEqual => "same text".to_owned(),
        Verdict::TextDiffers(character) => format!("texts differ from character {character} on"),
        Verdict::TokensDiffer(position) => format!("tokens differ from {position} on"),
        Verdict::LogitsDiffer(position) => format!("tokens equal, logits differ from {position} on"),
        Verdict::Failed(error) => format!("failed: {error}"),
    }
}
