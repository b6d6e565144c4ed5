//! macOS: Metal, and the system's folder for logs.

use super::{GpuProblem, missing_kernels};
use directories::BaseDirs;
use objc2_metal::MTLCreateSystemDefaultDevice;
use std::path::PathBuf;

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
