//! `llmeval models` as a person runs it: the program itself, against a hub on this machine.

use crate::local_hub::{Fault, ID, LocalHub, sha256};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const SHARD: &str = "model.safetensors";
const SHARD_BYTES: usize = 400_000;

fn repository() -> BTreeMap<String, Vec<u8>> {
    let shard = (0..SHARD_BYTES).map(|place| (place * 17 % 253) as u8).collect();
    BTreeMap::from([
        ("config.json".into(), b"{}".to_vec()),
        ("tokenizer.json".into(), b"{}".to_vec()),
        (SHARD.into(), shard),
    ])
}

/// A home of its own for each test: no cache, no data folder, no token of this machine's user.
struct Home {
    server: LocalHub,
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { server: LocalHub::start(repository()), folder: TempDir::new().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llmeval"));
        command.arg("models").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "DBUS_SESSION_BUS_ADDRESS"] {
            command.env_remove(variable);
        }
        let home = self.folder.path();
        command.env("HOME", home).env("HF_HOME", home.join("hf")).env("XDG_DATA_HOME", home.join("data"));
        command.env("HF_ENDPOINT", &self.server.endpoint);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn blob(&self) -> PathBuf {
        self.folder.path().join("hf/hub/models--owner--tiny/blobs").join(sha256(&repository()[SHARD]))
    }
}

/// Waits until `path` has `bytes` bytes; the program has minutes for it.
fn wait_for(path: &Path, bytes: u64) {
    for _ in 0..60_000 {
        if path.metadata().is_ok_and(|metadata| metadata.len() >= bytes) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("{} did not grow to {bytes} bytes", path.display());
}

#[test]
fn a_pull_killed_in_mid_file_goes_on_where_it_was() {
    let home = Home::new();
    home.server.fail(SHARD, [Fault::Slow(500)]);
    let incomplete = home.blob().with_extension("incomplete");
    let mut pull = home.command(&["pull", ID]).spawn().unwrap();
    wait_for(&incomplete, 20_000);
    pull.kill().unwrap();
    pull.wait().unwrap();
    let kept = incomplete.metadata().unwrap().len();
    assert!(kept < SHARD_BYTES as u64, "the kill should come in mid-file");

    let output = home.run(&["pull", ID]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(home.blob()).unwrap(), repository()[SHARD]);
    let ranges: Vec<_> = home.server.gets(SHARD).into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={kept}-{}", SHARD_BYTES - 1))]);
}

#[test]
fn a_model_is_pulled_listed_and_removed() {
    let home = Home::new();
    let pulled = home.json(&["pull", ID]);
    assert!(Path::new(pulled["folder"].as_str().unwrap()).join(SHARD).exists());
    let listed = home.json(&["list", "tiny"]);
    assert_eq!((&listed[0]["model"], &listed[0]["on_disk"]["state"]), (&ID.into(), &"whole".into()));
    assert!(home.json(&["rm", ID])["freed_bytes"].as_u64().unwrap() >= SHARD_BYTES as u64);
    assert_eq!(home.json(&["list", "tiny"]), Value::Array(Vec::new()));
}

#[test]
fn the_list_shows_the_registry_with_memory_for_one_and_eight_sessions() {
    let home = Home::new();
    let listed = home.json(&["list"]);
    let find = |id: &str| listed.as_array().unwrap().iter().find(|model| model["model"] == id).unwrap().clone();
    let qwen = find("mlx-community/Qwen3-1.7B-4bit");
    assert_eq!(
        (&qwen["supported"], &qwen["can_think"], &qwen["on_disk"]["state"]),
        (&true.into(), &true.into(), &"no".into())
    );
    assert!(qwen["memory_bytes"][0].as_u64() < qwen["memory_bytes"][1].as_u64());
    assert_eq!(find("starter")["on_disk"]["state"], "no", "this home has no starter model");
    let words = String::from_utf8(home.run(&["list"]).stdout).unwrap();
    assert!(words.starts_with("MODEL") && words.contains("mlx-community/Qwen3-1.7B-4bit"));
}

#[test]
fn info_says_what_a_folder_holds_and_whether_it_will_run() {
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/qwen3-f32");
    let info = home.json(&["info", folder.to_str().unwrap(), "--sessions", "2", "--tokens", "10"]);
    assert_eq!((&info["architecture"], &info["problem"]), (&"qwen3".into(), &Value::Null));
    assert_eq!((&info["sessions"], &info["tokens"]), (&2.into(), &10.into()));
    let words = String::from_utf8(home.run(&["info", folder.to_str().unwrap()]).stdout).unwrap();
    assert!(words.contains("Will run       yes"), "{words}");
}

#[test]
fn info_says_why_a_model_will_not_run_before_it_is_downloaded_and_after() {
    let mut files = repository();
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 320,
        "intermediate_size": 64, "max_position_embeddings": 512, "rope_scaling": {"rope_type": "yarn"},
    });
    files.insert("config.json".into(), config.to_string().into_bytes());
    let tensors = [("a", TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap())];
    files.insert(SHARD.into(), safetensors::serialize(tensors, None).unwrap());
    let home = Home { server: LocalHub::start(files), folder: TempDir::new().unwrap() };
    let before = home.json(&["info", ID]);
    assert!(before["problem"].as_str().unwrap().contains("yarn is not supported"), "{before}");
    home.json(&["pull", ID]);
    assert_eq!(home.json(&["info", ID])["problem"], before["problem"]);
}

#[test]
fn info_names_an_unknown_architecture_even_where_its_figures_stand_elsewhere() {
    let mut files = repository();
    files.insert("config.json".into(), br#"{"model_type": "gemma3", "text_config": {"hidden_size": 64}}"#.to_vec());
    let home = Home { server: LocalHub::start(files), folder: TempDir::new().unwrap() };
    let says = || String::from_utf8(home.run(&["info", ID]).stderr).unwrap();
    assert!(says().contains("model_type gemma3 is not supported"), "{}", says());
    home.json(&["pull", ID]);
    assert!(says().contains("model_type gemma3 is not supported"), "{}", says());
}

#[test]
fn a_dense_folder_is_converted_once() {
    let home = Home::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/llama-untied-bf16");
    let target = home.folder.path().join("four");
    let arguments = ["convert", source.to_str().unwrap(), target.to_str().unwrap()];
    let converted = home.json(&arguments);
    assert_eq!(converted["folder"], target.to_str().unwrap());
    let info = home.json(&["info", target.to_str().unwrap()]);
    assert_eq!((&info["quantization"], &info["problem"]), (&"4 bits, groups of 64".into(), &Value::Null));
    assert_eq!(info["footprint"]["parameters"], converted["parameters"]);
    let again = home.run(&arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
}

#[test]
fn what_cannot_be_done_says_why_and_exits_with_2() {
    let home = Home::new();
    let cases: [(&[&str], &str); 5] = [
        (&["pull", "owner/other"], "no model owner/other"),
        (&["pull", "starter"], "starter is no model of the hub"),
        (&["info", "starter"], "starter model is missing"),
        (&["rm", "owner/other"], "owner/other is not on this machine"),
        (&["info", "/nowhere/at/all"], "/nowhere/at/all"),
    ];
    for (arguments, words) in cases {
        let output = home.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(words) && output.stdout.is_empty(), "{arguments:?}: {error}");
    }
}
