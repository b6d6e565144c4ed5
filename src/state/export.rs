//! A run's report as Markdown, JSON and CSV text.

use crate::protocol::{EvaluationResult, RunReport, bytes};
use std::fmt::Write;

/// What a report is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A table and the texts, for people.
    Markdown,
    /// The same object that `--json` prints; "Open run" reads it back.
    Json,
    /// One line a session, for spreadsheets.
    Csv,
}

impl ExportFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Markdown, Self::Json, Self::Csv];

    /// The name shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Markdown => "Markdown",
            Self::Json => "JSON",
            Self::Csv => "CSV",
        }
    }

    /// The file's extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// The report's text in this format.
    pub fn write(self, report: &RunReport) -> Result<String, serde_json::Error> {
        match self {
            Self::Markdown => Ok(markdown(report)),
            Self::Json => serde_json::to_string_pretty(report).map(|text| text + "\n"),
            Self::Csv => Ok(csv(report)),
        }
    }
}

/// Reads a report that was exported as JSON. The error says what is wrong, for a person.
pub fn read_report(text: &str) -> Result<RunReport, String> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => {
            format!("the file ends too early, at line {}: it was cut off while being written or copied", error.line())
        }
        _ => format!("it is not a run exported as JSON ({error})"),
    })
}

fn markdown(report: &RunReport) -> String {
    let mut text = String::new();
    let config = &report.config;
    // Writing to a String can't fail.
    let _ = write!(
        text,
        "# Parallel run: {} sessions over {}\n\n\
         {} execution{}{}, temperature {}, max tokens {}, base seed {}.\n\n\
         {} tokens in {:.2} s: {:.2} tokens/s in all, {:.2} tokens/s on average per session.{}\n\n\
         | session | state | tokens | tokens/s | first token (ms) | duration (s) | prompt tokens | seed | temperature |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|\n",
        report.sessions.len(),
        report.model,
        report.execution,
        report.device.map(|device| format!(" on {}", device.name())).unwrap_or_default(),
        report.packed_bits.map(|bits| format!(", weights packed to {bits} bits")).unwrap_or_default(),
        config.temperature,
        config.max_tokens,
        config.seed,
        report.total_tokens,
        report.wall_time_s,
        report.tokens_per_second,
        report.average_tokens_per_second,
        report.peak_memory_bytes.map(|peak| format!(" Peak memory {}.", bytes(peak))).unwrap_or_default(),
    );
    for session in &report.sessions {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {} | {:.2} | {} | {} | {} |",
            session.id,
            session.finish_reason,
            session.tokens,
            session.tokens_per_second,
            session.time_to_first_token_ms.map(|ms| format!("{ms:.0}")).unwrap_or_default(),
            session.duration_s,
            session.prompt_tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
            session.seed,
            session.temperature,
        );
    }
    for session in &report.sessions {
        let _ = write!(text, "\n## Session {}\n\n{}\n\n{}\n", session.id, quoted(&session.prompt), answer(session));
    }
    text
}

fn answer(session: &EvaluationResult) -> String {
    let mut answer = session.text.clone();
    if let Some(error) = &session.error {
        let _ = write!(answer, "\n\n**Error:** {error}");
    }
    answer
}

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}

fn csv(report: &RunReport) -> String {
    let mut text = String::from(
        "session,finish_reason,tokens,tokens_per_second,time_to_first_token_ms,duration_s,prompt_tokens,seed,temperature,prompt,text,error\n",
    );
    for session in &report.sessions {
        let fields = [
            session.id.to_string(),
            session.finish_reason.to_string(),
            session.tokens.to_string(),
            session.tokens_per_second.to_string(),
            session.time_to_first_token_ms.map(|ms| ms.to_string()).unwrap_or_default(),
            session.duration_s.to_string(),
            session.prompt_tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
            session.seed.to_string(),
            session.temperature.to_string(),
            csv_field(&session.prompt),
            csv_field(&session.text),
            csv_field(session.error.as_deref().unwrap_or_default()),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// Quoted as RFC 4180 says, always: prompts and texts hold commas, quotes and line breaks.
fn csv_field(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}
