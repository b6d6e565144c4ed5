//! How the commands print JSON.

use serde::Serialize;
use std::io::{self, Write};

/// Prints `value` as JSON and nothing else; gives the exit code.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<u8> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(0)
}
