//! Runs on their way to and from files that a person chooses.

use super::dialogs::Ask;
use super::feature::Feature;
use super::shell::Shell;
use super::storage::{open_run, write_whole};
use crate::protocol::RunReport;
use crate::state::{ExportFormat, Tone};
use std::path::PathBuf;

const OPEN: &str = "open a run";
const EXPORT: &str = "export";
const CHOOSE: &str = "choose a model";

/// A run that was opened, and the file that it lies in.
type Opened = (RunReport, PathBuf);

/// Runs on their way to and from files.
#[derive(Default)]
pub struct Files;

impl Files {
    /// Asks where to, and saves the run on show.
    pub fn export(&self, shell: &mut Shell, format: ExportFormat) {
        let Some(report) = shell.state.run.as_ref().and_then(|run| run.report.clone()) else {
            return shell.state.notify(Tone::Info, "There is no finished run to export yet.");
        };
        let name = format!("LLMEval {} sessions.{}", report.sessions.len(), format.extension());
        let ask = Ask::SaveRun { name, kind: format.name(), extension: format.extension() };
        save(shell, ask, move || format.write(&report).map(String::into_bytes).map_err(|error| error.to_string()));
    }

    /// Asks for a run's file, and shows it.
    pub fn open(&self, shell: &mut Shell) {
        if shell.jobs.is_running(OPEN) {
            return;
        }
        let answer = (shell.world.dialogs)(Ask::OpenRun);
        let read = async move {
            let Some(path) = answer.await else { return Ok(None) };
            blocking(move || open_run(&path).map(|report| Some((report, path)))).await
        };
        shell.jobs.start(OPEN, read, take_opened);
    }

    /// Shows the run in the file at `path`.
    pub fn open_path(&self, shell: &mut Shell, path: PathBuf) {
        if !shell.jobs.is_running(OPEN) {
            shell.jobs.blocking(OPEN, move || open_run(&path).map(|report| Some((report, path))), take_opened);
        }
    }

    /// Asks for a model's folder or file, which is looked at as one that was dropped.
    pub fn choose_model(&self, shell: &mut Shell, ask: Ask) {
        if shell.jobs.is_running(CHOOSE) {
            return;
        }
        let answer = (shell.world.dialogs)(ask);
        shell.jobs.start(CHOOSE, async move { Ok(answer.await) }, |shell, chosen| match chosen {
            Ok(path) => shell.world.inbox.add(path),
            Err(message) => shell.state.notify(Tone::Problem, message),
        });
    }
}

impl Feature for Files {
    fn take_in(&mut self, shell: &mut Shell) {
        shell.state.dialog_is_open = [OPEN, EXPORT, CHOOSE].iter().any(|name| shell.jobs.is_running(name));
    }
}

/// Asks where to, and saves what `make` gives, on another thread; nothing where another export is on.
pub fn save(shell: &mut Shell, ask: Ask, make: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static) {
    if shell.jobs.is_running(EXPORT) {
        return;
    }
    let answer = (shell.world.dialogs)(ask);
    let write = async move {
        let Some(path) = answer.await else { return Ok(None) };
        blocking(move || {
            write_whole(&path, make()?).map_err(|error| format!("{} can't be written: {error}", path.display()))?;
            Ok(Some(path))
        })
        .await
    };
    shell.jobs.start(EXPORT, write, |shell, saved| match saved {
        Ok(Some(path)) => shell.state.notify(Tone::Info, format!("Saved as {}", path.display())),
        Ok(None) => {}
        Err(message) => shell.state.notify(Tone::Problem, message),
    });
}

/// Shows a run that was opened; never over one that is on.
fn take_opened(shell: &mut Shell, opened: Result<Option<Opened>, String>) {
    match opened {
        Ok(Some(_)) if shell.state.run_is_active() => {
            shell.state.notify(Tone::Info, "A run is on: stop it before opening another one.");
        }
        Ok(Some((report, path))) => shell.state.show_report(report, path),
        Ok(None) => {}
        Err(message) => shell.state.notify(Tone::Problem, message),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(format!("it failed unexpectedly: {error}")))
}
