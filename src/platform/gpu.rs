//! Why MLX can't compute on this Mac's GPU, told before MLX itself would abort.

use std::path::{Path, PathBuf};

/// Why MLX can't compute on the GPU, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuProblem {
    /// No Metal device, as in most virtual machines.
    #[error(
        "This Mac offers no Metal device, which MLX computes on. LLMEval needs a Mac with Apple silicon; \
         in a virtual machine, turn on its GPU."
    )]
    NoDevice,
    /// The app was copied without MLX's kernels.
    #[error("LLMEval is incomplete: MLX's kernels are missing at {}. Copy the whole app again from where you got it.", .0.display())]
    NoKernels(PathBuf),
}

/// Where MLX's kernels should lie and don't, if `executable` is inside of an app bundle.
///
/// Outside of one (`cargo run`) MLX knows the place itself, because it was built on this machine.
pub fn missing_kernels(executable: &Path) -> Option<PathBuf> {
    let folder = executable.parent()?;
    if !folder.ends_with("Contents/MacOS") {
        return None;
    }
    let kernels = folder.with_file_name("Resources").join("mlx.metallib");
    (!kernels.is_file()).then_some(kernels)
}
