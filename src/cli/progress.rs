//! Progress of download and load, on a terminal only.

use crate::protocol::LoadProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

const DOWNLOAD: &str = "[{bar:24}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left: {wide_msg}";
const DOWNLOAD_OF_UNKNOWN_SIZE: &str = "{spinner} {bytes}, {bytes_per_sec}: {wide_msg}";
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
            LoadProgress::Downloading { files, done_bytes, total_bytes, done_files, total_files, .. } => {
                self.style(if total_bytes.is_some() { DOWNLOAD } else { DOWNLOAD_OF_UNKNOWN_SIZE });
                if let Some(total) = total_bytes {
                    self.bar.set_length(*total);
                }
                self.bar.set_position(*done_bytes);
                let mut words = format!("{done_files} of {total_files} files");
                for file in files {
                    words.push_str(&format!(", {} {}%", file.name, file.percent()));
                }
                self.bar.set_message(words);
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
