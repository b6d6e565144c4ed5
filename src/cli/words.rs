//! How the commands print figures and JSON.

use serde::Serialize;
use std::io::{self, Write};

/// Prints `value` as JSON and nothing else; gives the exit code.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<u8> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(0)
}

/// Bytes in units of 1000, as the hub counts them.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A number of parameters: "135M", "1.7B".
pub(super) fn count(number: u64) -> String {
    match number {
        0..1_000_000 => format!("{:.0}K", number as f64 / 1e3),
        1_000_000..999_500_000 => format!("{:.0}M", number as f64 / 1e6),
        _ => format!("{:.1}B", number as f64 / 1e9),
    }
}
