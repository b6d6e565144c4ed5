//! Where the window's logs go: to stderr and, since it may have no terminal, to a file too.

use super::logging::to_stderr;
use crate::platform;
use std::backtrace::Backtrace;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// A log file that has grown beyond this is set aside at the next start.
const MAX_LOG_BYTES: u64 = 4 << 20;

/// Starts logging on stderr and, with warnings and what the program does, in the system's log folder.
pub(super) fn start() {
    let folder = platform::log_folder();
    let opened = folder.as_deref().map(open_log).transpose();
    let (file, failure) = match opened {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let to_file = file.map(|file| {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,llmeval=info"));
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(file)).with_filter(filter)
    });
    tracing_subscriber::registry().with(to_stderr()).with(to_file).init();
    if let (Some(error), Some(folder)) = (failure, folder) {
        tracing::error!("no log can be kept in {}: {error}", folder.display());
    }
    // Through the log instead of Rust's own words on stderr, so that a panic is read in both places, once in each.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}\n{}", Backtrace::capture())));
}

/// Opens `llmeval.log` in `folder` to write on at its end; one that has grown large becomes `llmeval.old.log` first.
pub fn open_log(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let path = folder.join("llmeval.log");
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        fs::rename(&path, folder.join("llmeval.old.log"))?;
    }
    File::options().create(true).append(true).open(path)
}
