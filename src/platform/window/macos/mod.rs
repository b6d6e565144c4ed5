//! macOS: menu bar, files opened from the Finder, dialogs for who reads no terminal.

mod defaults;
mod menu;
mod open_files;

pub use menu::{MenuBar, MenuError};
pub use open_files::receive_files;

use directories::BaseDirs;
use eframe::CreationContext;
use std::io;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The process that starts what a person opens in the Finder or the Dock.
const LAUNCHD: u32 = 1;

/// What draws the window: Metal, through wgpu.
pub const RENDERER: eframe::Renderer = eframe::Renderer::Wgpu;

/// Whether the processor itself draws the window: never on macOS, where Metal does.
pub fn is_drawn_by_software(_context: &CreationContext<'_>) -> bool {
    false
}

/// Where lock and socket of the running program lie: not in the temporary folder, where macOS deletes what nobody
/// touched for three days.
pub fn runtime_folder() -> Option<PathBuf> {
    Some(BaseDirs::new()?.data_local_dir().join("LLMEval"))
}

/// Shows `words` in a dialog of the system's own if the program was started from the Finder or the Dock, where nobody
/// reads what it writes; says whether it did. Call it on the main thread.
pub fn show_problem(words: &str) -> bool {
    if parent_id() != LAUNCHD {
        return false;
    }
    let dialog = rfd::MessageDialog::new().set_level(rfd::MessageLevel::Error);
    dialog.set_title("LLMEval can't start").set_description(words).show();
    true
}

/// Shows `folder` in the Finder.
pub fn show_in_file_manager(folder: &Path) -> io::Result<()> {
    Command::new("/usr/bin/open").arg(folder).spawn().map(drop)
}
