//! Linux: the menu bar and the Finder have no part in it; the rest goes through the desktop's standards.

use super::menu::MenuCommand;
use crate::platform::log_folder;
use directories::BaseDirs;
use eframe::CreationContext;
use eframe::glow::{self, HasContext};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The menu bar: Linux has none outside of the window, so no command ever comes.
#[derive(Debug)]
pub struct MenuBar;

/// Why there is no menu bar: on Linux, never.
#[derive(Debug, thiserror::Error)]
pub enum MenuError {}

impl MenuBar {
    /// Nothing to do; `wake` is never called.
    pub fn install(_wake: impl Fn() + Send + Sync + 'static) -> Result<Self, MenuError> {
        Ok(Self)
    }

    /// The commands chosen since the last call, in order.
    pub fn take_commands(&self) -> Vec<MenuCommand> {
        Vec::new()
    }
}

/// What draws the window: OpenGL, also where eframe's other renderer is built in, as for tests.
pub const RENDERER: eframe::Renderer = eframe::Renderer::Glow;

/// Files come by the command line alone; `on_file` is never called.
pub fn receive_files(_on_file: impl Fn(PathBuf) + 'static) {}

/// Whether the processor itself draws the window, for want of a GPU: Mesa says so in the name of its renderer.
pub fn is_drawn_by_software(context: &CreationContext<'_>) -> bool {
    let Some(gl) = &context.gl else { return false };
    // SAFETY: the context is current on this thread while the window is made.
    let renderer = unsafe { gl.get_parameter_string(glow::RENDERER) };
    ["llvmpipe", "softpipe", "SwiftShader"].iter().any(|name| renderer.contains(name))
}

/// Where lock and socket of the running program lie: `$XDG_RUNTIME_DIR/llmeval`, else the log folder.
pub fn runtime_folder() -> Option<PathBuf> {
    match BaseDirs::new()?.runtime_dir() {
        Some(folder) => Some(folder.join("llmeval")),
        None => log_folder(),
    }
}

/// Shows `_words` to a person who can't read a terminal, and says whether it did: never on Linux, where they can.
pub fn show_problem(_words: &str) -> bool {
    false
}

/// Shows `folder` in the file manager.
pub fn show_in_file_manager(folder: &Path) -> io::Result<()> {
    Command::new("xdg-open").arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}
