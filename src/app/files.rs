//! Runs on their way to and from files that a person chooses.

use super::dialogs::{Ask, Dialogs};
use super::storage::{open_run, write_whole};
use super::work::{Wake, Work};
use crate::protocol::{ModelSource, RunReport};
use crate::state::{ExportFormat, ScalingFormat};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A run that was opened, and the file that it lies in.
pub type Opened = (RunReport, PathBuf);

/// Asks where to, and saves `report`. Gives the file, or none where the person thought better of it.
pub fn export(dialogs: &Dialogs, report: RunReport, format: ExportFormat, wake: Wake) -> Work<Option<PathBuf>> {
    let name = format!("LLMEval {} sessions.{}", report.sessions.len(), format.extension());
    let answer = dialogs(Ask::SaveRun { name, kind: format.name(), extension: format.extension() });
    Work::start(wake, async move {
        let Some(path) = answer.await else { return Ok(None) };
        blocking(move || {
            let text = format.write(&report).map_err(|error| error.to_string())?;
            write_whole(&path, &text).map_err(|error| format!("{} can't be written: {error}", path.display()))?;
            Ok(Some(path))
        })
        .await
    })
}

/// Asks where to, and saves a sweep over `sessions` sessions, whose file `make` gives.
pub fn export_scaling(
    dialogs: &Dialogs,
    sessions: u32,
    format: ScalingFormat,
    make: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static,
    wake: Wake,
) -> Work<Option<PathBuf>> {
    let name = format!("LLMEval scaling to {sessions} sessions.{}", format.extension());
    let answer = dialogs(Ask::SaveRun { name, kind: format.name(), extension: format.extension() });
    Work::start(wake, async move {
        let Some(path) = answer.await else { return Ok(None) };
        blocking(move || {
            write_whole(&path, make()?).map_err(|error| format!("{} can't be written: {error}", path.display()))?;
            Ok(Some(path))
        })
        .await
    })
}

/// Asks for a run's file, and reads it.
pub fn open(dialogs: &Dialogs, wake: Wake) -> Work<Option<Opened>> {
    let answer = dialogs(Ask::OpenRun);
    Work::start(wake, async move {
        let Some(path) = answer.await else { return Ok(None) };
        blocking(move || open_run(&path).map(|report| Some((report, path)))).await
    })
}

/// Reads a run's file.
pub fn open_path(path: PathBuf, wake: Wake) -> Work<Option<Opened>> {
    Work::blocking(wake, move || open_run(&path).map(|report| Some((report, path))))
}

/// Asks for a model's folder or file.
pub fn choose_model(dialogs: &Dialogs, ask: Ask, wake: Wake) -> Work<Option<PathBuf>> {
    let answer = dialogs(ask);
    Work::start(wake, async move { Ok(answer.await) })
}

/// What a path that was chosen, opened or dropped is: a model, a run, or neither, with the reason.
pub enum Found {
    /// A model's folder or .gguf file.
    Model(ModelSource),
    /// A run exported as JSON.
    Run(PathBuf),
    /// Something else.
    Neither(String),
}

impl Found {
    fn at(path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() && path.join("config.json").is_file() => {
                Self::Model(ModelSource::Folder(path.to_owned()))
            }
            _ if path.is_dir() => Self::Neither(format!("The folder {name} is no model: it has no config.json.")),
            Some("gguf") => match begins_as_gguf(path) {
                Ok(true) => Self::Model(ModelSource::Gguf(path.to_owned())),
                Ok(false) => Self::Neither(format!("{name} is no model: it does not begin as a GGUF file does.")),
                Err(error) => Self::Neither(format!("{name} can't be read: {error}")),
            },
            Some("json") => Self::Run(path.to_owned()),
            _ => Self::Neither(format!(
                "{name} is no model: drop a model's folder or a .gguf file, or a run exported as JSON."
            )),
        }
    }
}

/// Whether the file has GGUF's first bytes; what follows them is checked when it is loaded.
fn begins_as_gguf(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut begin)?;
    Ok(begin == b"GGUF")
}

/// Looks at what was opened or dropped.
pub fn look_at(paths: Vec<PathBuf>, wake: Wake) -> Work<Vec<Found>> {
    Work::blocking(wake, move || Ok(paths.iter().map(|path| Found::at(path)).collect()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(format!("it failed unexpectedly: {error}")))
}
