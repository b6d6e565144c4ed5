//! Linux: what macOS does through its own interfaces needs nothing here, or goes through the desktop's standards.

use super::GpuProblem;
use directories::BaseDirs;
use std::path::PathBuf;

/// Why MLX can't compute on the GPU: on Linux it falls back to the CPU by itself.
pub fn gpu_problem() -> Option<GpuProblem> {
    None
}

/// Where log files go: `$XDG_STATE_HOME/llmeval`. None where the system knows no home.
pub fn log_folder() -> Option<PathBuf> {
    let base = BaseDirs::new()?;
    Some(base.state_dir().unwrap_or(base.data_local_dir()).join("llmeval"))
}
