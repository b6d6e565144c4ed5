//! A build without the window says what to do instead.

use std::process::{Command, Stdio};

#[test]
fn without_a_command_it_names_one() {
    for arguments in [&[][..], &["tests/fixtures/models/llama-tied-f32"]] {
        let mut llmeval = Command::new(env!("CARGO_BIN_EXE_llmeval"));
        let output = llmeval.args(arguments).stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(words.contains("no window") && words.contains("`llmeval parallel`"), "{words}");
        assert!(output.stdout.is_empty());
    }
}
