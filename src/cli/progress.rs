//! Progress of download and load, on a terminal only.

use crate::protocol::{LoadProgress, bytes};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

const DOWNLOAD: &str = "[{bar:24}] {wide_msg}";
const DOWNLOAD_OF_UNKNOWN_SIZE: &str = "{spinner} {wide_msg}";
const LOAD: &str = "{spinner} {msg}";

/// A line on stderr that shows how far a load has come; nothing where stderr is no terminal.
#[derive(Debug)]
pub(super) struct LoadBar {
    bar: ProgressBar,
    model: String,
}

impl LoadBar {
    /// Shows nothing yet; never anything where `quiet`.
    pub fn new(model: String, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bar: ProgressBar::with_draw_target(None, target), model }
    }

    /// Shows how far it has come.
    pub fn show(&self, progress: &LoadProgress) {
        match progress {
            LoadProgress::Downloading { done_bytes, total_bytes, .. } => {
                self.style(if total_bytes.is_some() { DOWNLOAD } else { DOWNLOAD_OF_UNKNOWN_SIZE });
                if let Some(total) = total_bytes {
                    self.bar.set_length(*total);
                }
                self.bar.set_position(*done_bytes);
                self.bar.set_message(download_words(progress));
            }
            LoadProgress::Loading => {
                self.style(LOAD);
                self.bar.set_message(format!("Loading {}", self.model));
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
        }
    }

    /// Leaves no trace.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn style(&self, template: &str) {
        // The templates are constants; one that doesn't parse would leave the style as it was.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

/// "157 KB of 383 KB, 70 KB/s, 3 seconds left, 5 of 7 files: model.safetensors 32%".
fn download_words(progress: &LoadProgress) -> String {
    let LoadProgress::Downloading { files, done_bytes, total_bytes, done_files, total_files, bytes_per_second } =
        progress
    else {
        return String::new();
    };
    let mut words = bytes(*done_bytes);
    if let Some(total) = total_bytes {
        words.push_str(&format!(" of {}", bytes(*total)));
    }
    if let Some(speed) = bytes_per_second {
        words.push_str(&format!(", {}/s", bytes(*speed as u64)));
    }
    if let Some(left) = progress.seconds_left() {
        words.push_str(&format!(", {} left", HumanDuration(Duration::from_secs_f64(left))));
    }
    words.push_str(&format!(", {done_files} of {total_files} files"));
    let each: Vec<String> = files.iter().map(|file| format!("{} {}%", file.name, file.percent())).collect();
    if each.is_empty() { words } else { format!("{words}: {}", each.join(", ")) }
}

/// A bar on stderr over the steps of a longer command; nothing where stderr is no terminal.
#[derive(Clone, Debug)]
pub(super) struct RunBar(ProgressBar);

impl RunBar {
    /// Never shows anything where `quiet`.
    pub fn new(quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self(ProgressBar::with_draw_target(None, target))
    }

    /// Shows that `done` of `total` steps are done.
    pub fn show(&self, done: u32, total: u32) {
        self.0.set_length(total.into());
        self.0.set_position(done.into());
    }

    /// Leaves no trace.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}
