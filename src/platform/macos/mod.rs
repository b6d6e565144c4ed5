//! macOS: menu bar, files opened from the Finder, Metal, and the system's folders.

mod menu;
mod open_files;

pub use menu::{MenuBar, MenuError};
pub use open_files::receive_files;

use super::{GpuProblem, missing_kernels};
use directories::BaseDirs;
use objc2_metal::MTLCreateSystemDefaultDevice;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why MLX can't compute on the GPU. Ask before MLX is first used: MLX ends the process where Metal is missing.
pub fn gpu_problem() -> Option<GpuProblem> {
    let missing = std::env::current_exe().ok().and_then(|executable| missing_kernels(&executable));
    match missing {
        Some(kernels) => Some(GpuProblem::NoKernels(kernels)),
        None if MTLCreateSystemDefaultDevice().is_none() => Some(GpuProblem::NoDevice),
        None => None,
    }
}

/// Where log files go: `~/Library/Logs/LLMEval`. None where the system knows no home.
pub fn log_folder() -> Option<PathBuf> {
    Some(BaseDirs::new()?.home_dir().join("Library/Logs/LLMEval"))
}

/// Where lock and socket of the running program lie: the person's own temporary folder, whose path is short enough
/// for a socket.
pub fn runtime_folder() -> Option<PathBuf> {
    Some(std::env::temp_dir().join("LLMEval"))
}

/// Shows `folder` in the Finder.
pub fn show_in_file_manager(folder: &Path) -> io::Result<()> {
    Command::new("/usr/bin/open").arg(folder).spawn().map(drop)
}
