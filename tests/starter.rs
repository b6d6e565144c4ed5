//! The starter model is checked by size and SHA-256, and its absence or damage says what to run.

use llmeval::hub::{STARTER_FILE, check_starter, starter_path};
use std::fs::File;
use std::process::Command;
use tempfile::TempDir;

const BYTES: u64 = 98_362_432;

#[test]
fn it_lies_in_the_data_folder() {
    let path = starter_path().unwrap();
    assert!(path.ends_with(format!("models/{STARTER_FILE}")));
}

#[test]
fn a_missing_one_says_what_to_run() {
    let folder = TempDir::new().unwrap();
    let error = check_starter(&folder.path().join(STARTER_FILE)).unwrap_err().to_string();
    assert!(error.contains("make starter-model") && error.contains(STARTER_FILE), "{error}");
}

#[test]
fn a_file_of_another_size_or_content_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(STARTER_FILE);
    // Sparse files: only their size is on disk.
    for size in [BYTES - 1, BYTES] {
        File::create(&path).unwrap().set_len(size).unwrap();
        let error = check_starter(&path).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("make starter-model"), "{error}");
    }
}

#[test]
fn set_up_finds_it_where_the_program_does_and_needs_no_network_then() {
    check_starter(&starter_path().unwrap()).expect("`make test` fetches the starter model first");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/starter-model.py");
    // pip could bring nothing: a success means that the script found the same file right.
    let output = Command::new("python3").arg(script).env("PIP_NO_INDEX", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
