//! Files that reach the window: dropped on it, opened from outside, chosen in a dialog, named at launch. What they are is
//! found out before anything is loaded or opened.

use super::feature::Feature;
use super::shell::Shell;
use crate::protocol::ModelSource;
use crate::state::{Action, FileAction, ModelAction, ModelState, Tone};
use egui::ViewportCommand;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOOK: &str = "look at files";

/// Files that reach the window.
#[derive(Default)]
pub struct Arrivals {
    /// Whether the files that were given at launch have been looked at.
    has_launched: bool,
}

impl Feature for Arrivals {
    fn begin(&mut self, shell: &mut Shell) {
        shell.world.inbox.wake_with(Arc::clone(&shell.wake));
        if let Some(instance) = shell.world.instance.take() {
            let inbox = shell.world.inbox.clone();
            if let Err(error) = instance.listen(move |files| inbox.open(files)) {
                tracing::warn!("a second start can't be heard: {error}");
            }
        }
        self.take_in(shell);
    }

    fn take_in(&mut self, shell: &mut Shell) {
        let dropped: Vec<PathBuf> =
            shell.context.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        shell.world.inbox.add(dropped);
        if shell.world.inbox.take_wants_front() {
            shell.context.send_viewport_cmd(ViewportCommand::Minimized(false));
            shell.context.send_viewport_cmd(ViewportCommand::Focus);
        }
        if shell.jobs.is_running(LOOK) {
            return;
        }
        let waiting = shell.world.inbox.take_files();
        if !waiting.is_empty() {
            tracing::info!(files = waiting.len(), "opening files");
            let look = move || Ok(waiting.iter().map(|path| Found::at(path)).collect::<Vec<_>>());
            shell.jobs.blocking(LOOK, look, |shell, found| {
                found.unwrap_or_default().into_iter().for_each(|found| take_found(shell, found));
            });
        } else if !self.has_launched {
            self.has_launched = true;
            // A model among the files comes instead of the settings' one.
            if shell.state.model == ModelState::Absent {
                let source = shell.state.settings.model.clone();
                shell.ask(Action::Model(ModelAction::Choose(source)));
            }
        }
    }
}

/// Loads or opens what was found, or says why not.
fn take_found(shell: &mut Shell, found: Found) {
    // What comes of it is shown behind a sheet.
    shell.state.sheet = None;
    match found {
        Found::Model(source) => shell.ask(Action::Model(ModelAction::Choose(source))),
        Found::Run(path) => shell.ask(Action::File(FileAction::OpenRecent(path))),
        Found::Neither(reason) => shell.state.notify(Tone::Problem, reason),
    }
}

/// What a path is: a model, a run, or neither, with the reason.
enum Found {
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
