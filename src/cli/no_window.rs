//! `llmeval` without a command, in a build without the window: says so, and what to do.

use super::logging;
use anyhow::bail;
use std::path::PathBuf;
use tokio::runtime::Runtime;

pub(super) fn run(_runtime: &Runtime, _files: Vec<PathBuf>) -> anyhow::Result<u8> {
    bail!(
        "this build has no window: name a command, such as `llmeval parallel` (`llmeval --help` lists them), or build it \
         with the feature `window`"
    )
}

/// What goes wrong is on stderr.
pub(super) fn start_logging() {
    logging::start();
}

/// The words on stderr are all there is.
pub(super) fn show_problem(_error: &anyhow::Error) {}
