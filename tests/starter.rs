//! The starter model is checked by size and SHA-256, and its absence or damage says what to run.

use llmeval::hub::{STARTER_FILE, check_starter, starter_path};
use std::fs::File;
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
