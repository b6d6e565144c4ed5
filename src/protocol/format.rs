//! Figures in words for a person, once for window, console and reports.

/// What stands where a figure is not known, or not yet.
pub const NOTHING: &str = "–";

/// A figure in words, or [`NOTHING`].
pub fn or_nothing<T>(figure: Option<T>, words: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| NOTHING.to_owned(), words)
}

/// Bytes for a person: "512 B", "20.0 MB", "812 MB", "1.2 GB" (units of 1,000).
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A number of weights for a person: "41K", "135M", "1.7B".
pub fn parameters(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.0}K", count as f64 / 1e3),
        1_000_000..999_500_000 => format!("{:.0}M", count as f64 / 1e6),
        _ => format!("{:.1}B", count as f64 / 1e9),
    }
}

/// Tokens/s: "45.2".
pub fn rate(tokens_per_second: f64) -> String {
    format!("{tokens_per_second:.1}")
}

/// "25 ms".
pub fn milliseconds(ms: f64) -> String {
    format!("{ms:.0} ms")
}

/// How many times as fast, where one figure stands for a whole run: "3.2×".
pub fn ratio(times: f64) -> String {
    format!("{times:.1}×")
}
