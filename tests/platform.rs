//! What differs between systems: the app's own files, and what is around the window.

/// One window at a time, the menu's table, the log.
#[cfg(feature = "window")]
mod window;

use llmeval::platform::{GpuProblem, missing_kernels};
use std::fs::{self, File};

#[test]
fn an_app_without_its_kernels_says_where_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let contents = folder.path().join("LLMEval.app/Contents");
    fs::create_dir_all(contents.join("Resources")).unwrap();
    let executable = contents.join("MacOS/llmeval");
    let kernels = contents.join("Resources/mlx.metallib");

    assert_eq!(missing_kernels(&executable).as_ref(), Some(&kernels));
    let words = GpuProblem::NoKernels(kernels.clone()).to_string();
    assert!(words.contains(kernels.to_str().unwrap()) && words.contains("Copy the whole app again"), "{words}");

    File::create(&kernels).unwrap();
    assert_eq!(missing_kernels(&executable), None);
    assert_eq!(missing_kernels(&folder.path().join("target/debug/llmeval")), None, "only a bundle carries kernels");
}
