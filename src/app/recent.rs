//! The runs that ended: the list of them, read at launch, and changes to one that is kept.

use super::feature::Feature;
use super::shell::Shell;
use crate::state::Tone;

const READ: &str = "read the recent runs";
const KEEP: &str = "keep a run again";

/// The list of the runs that ended.
#[derive(Default)]
pub struct RecentRuns;

impl Feature for RecentRuns {
    fn begin(&mut self, shell: &mut Shell) {
        let storage = shell.world.storage.clone();
        shell.jobs.blocking(
            READ,
            move || Ok(storage.read_runs()),
            |shell, runs| {
                // A run may have ended before the list was read.
                let known = std::mem::take(&mut shell.state.recent);
                shell.state.recent = runs.unwrap_or_default();
                known.into_iter().rev().for_each(|record| shell.state.remember(record));
            },
        );
    }
}

/// Writes the run on show again, with the session that was run again or what its replays found.
pub fn keep_again(shell: &mut Shell) {
    let shown = shell.state.run.as_ref().and_then(|run| Some((run.report.clone()?, run.file.clone()?)));
    let Some((report, file)) = shown else { return };
    let storage = shell.world.storage.clone();
    let write = move || storage.rewrite_run(&report, file).map_err(|error| error.to_string());
    shell.jobs.blocking(KEEP, write, |shell, written| match written {
        Ok(record) => shell.state.remember(record),
        Err(message) => shell.state.notify(Tone::Problem, format!("The run could not be kept: {message}")),
    });
}
