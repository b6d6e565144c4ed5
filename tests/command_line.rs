//! The real binary on a tiny model: options, JSON, exit codes, Ctrl-C.

use clap::Parser;
use llmeval::cli::{Arguments, Command as Subcommand, read_prompts};
use llmeval::protocol::{Execution, FinishReason, ModelSource, ParallelConfig, RunReport, ScalingRow};
use llmeval::session::verify::VerifyReport;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

const MODEL: &str = "tests/fixtures/models/llama-tied-f32";

fn llmeval(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llmeval"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `llmeval parallel` on the tiny model.
fn parallel(arguments: &[&str]) -> Output {
    llmeval(&["parallel", "--model", MODEL]).args(arguments).output().unwrap()
}

fn config(arguments: &[&str]) -> ParallelConfig {
    let arguments = Arguments::parse_from(["llmeval", "parallel"].iter().chain(arguments));
    match arguments.command {
        Some(Subcommand::Parallel(arguments)) => arguments.config().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn without_options_it_is_the_demo() {
    assert_eq!(config(&[]), ParallelConfig::default());
}

#[test]
fn what_is_not_chosen_follows_the_advice_of_the_models_makers() {
    let qwen = ["--model", "mlx-community/Qwen3-1.7B-4bit"];
    let advised = config(&qwen);
    assert_eq!((advised.temperature, advised.top_p, advised.top_k, advised.min_p), (0.6, 0.95, 20, 0.0));
    let chosen = config(&[&qwen[..], &["--temperature", "0", "--top-k", "0"]].concat());
    assert_eq!((chosen.temperature, chosen.top_p, chosen.top_k), (0.0, 0.95, 0));
    let unknown = config(&["--model", "owner/other"]);
    assert_eq!((unknown.temperature, unknown.top_p, unknown.top_k), (0.7, 1.0, 0));
}

#[test]
fn a_dense_checkpoint_runs_quantised_and_a_quantised_one_says_that_it_is() {
    let run = |model: &str| {
        let arguments = ["--sessions", "1", "--max-tokens", "4", "--quantize", "4", "--json"];
        llmeval(&["parallel", "--model", model]).args(arguments).output().unwrap()
    };
    let output = run("tests/fixtures/models/llama-untied-bf16");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.packed_bits, Some(4), "what is needed to run it again");
    let output = run("tests/fixtures/models/llama-4bit-g64");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("quantised already"), "{}", stderr(&output));
}

#[test]
fn every_option_reaches_the_run() {
    let given = config(&[
        "--model",
        "mlx-community/Qwen3-1.7B-4bit",
        "--sessions",
        "5",
        "--prompt",
        "one",
        "--prompt",
        "two",
        "--system",
        "be brief",
        "--max-tokens",
        "7",
        "--temperature",
        "0.5",
        "--top-p",
        "0.9",
        "--top-k",
        "40",
        "--min-p",
        "0.05",
        "--repetition-penalty",
        "1.1",
        "--seed",
        "9",
        "--stop",
        "END",
        "--stop",
        "STOP",
        "--execution",
        "serialized",
        "--cache-limit",
        "64",
        "--raw",
    ]);
    let expected = ParallelConfig {
        sessions: 5,
        model: ModelSource::Hub("mlx-community/Qwen3-1.7B-4bit".into()),
        prompts: vec!["one".into(), "two".into()],
        system: Some("be brief".into()),
        max_tokens: 7,
        temperature: 0.5,
        temperatures: None,
        top_p: 0.9,
        top_k: 40,
        min_p: 0.05,
        repetition_penalty: 1.1,
        seed: 9,
        stop: vec!["END".into(), "STOP".into()],
        execution: Execution::Serialized,
        cache_limit_mb: 64,
        raw: true,
        thinking: false,
    };
    assert_eq!(given, expected);
    assert_eq!(given.sampling(2).unwrap().seed(), 2009);
    assert_eq!([given.prompt(0), given.prompt(1), given.prompt(2)], ["one", "two", "one"]);
}

#[test]
fn a_prompts_file_holds_one_a_line_or_a_json_array() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("prompts");
        std::fs::write(&path, text).unwrap();
        path
    };
    assert_eq!(read_prompts(&file("first\n\n  second  \r\n")).unwrap(), ["first", "second"]);
    assert_eq!(read_prompts(&file(r#" ["two\nlines", "x"]"#)).unwrap(), ["two\nlines", "x"]);
    let words = |path: PathBuf| read_prompts(&path).unwrap_err().to_string();
    assert!(words(file("\n \n")).contains("holds no prompt"));
    assert!(words(file("[1, 2]")).contains("not a JSON array of texts"));
    assert!(words(file("[\"cut")).contains("not a JSON array of texts"));
    assert!(words(folder.path().join("nowhere")).contains("can't be read"));
}

#[test]
fn json_is_one_object_with_every_figure_and_nothing_else() {
    let output = parallel(&["--sessions", "4", "--max-tokens", "6", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    for field in [
        "model",
        "parameters",
        "execution",
        "device",
        "load_seconds",
        "sessions",
        "total_tokens",
        "wall_time_s",
        "tokens_per_second",
        "average_tokens_per_second",
        "peak_memory_bytes",
    ] {
        assert!(json.get(field).is_some(), "{field} is missing");
    }
    for field in [
        "id",
        "model",
        "engine",
        "prompt",
        "prompt_tokens",
        "seed",
        "text",
        "token_ids",
        "tokens",
        "time_to_first_token_ms",
        "duration_s",
        "tokens_per_second",
        "finish_reason",
        "error",
    ] {
        assert!(json["sessions"][3].get(field).is_some(), "{field} is missing");
    }
    let report: RunReport = serde_json::from_value(json).unwrap();
    assert_eq!(report.total_tokens, report.sessions.iter().map(|session| session.token_ids.len() as u64).sum::<u64>());
    assert_eq!(report.sessions.iter().map(|session| session.seed).collect::<Vec<_>>(), [0, 1000, 2000, 3000]);
    assert!(report.peak_memory_bytes > Some(0));
}

#[test]
fn the_same_command_gives_the_same_tokens() {
    let tokens = || {
        let output = parallel(&[
            "--sessions",
            "3",
            "--max-tokens",
            "8",
            "--temperature",
            "1",
            "--execution",
            "serialized",
            "--json",
        ]);
        let report: RunReport = serde_json::from_str(stdout(&output)).unwrap();
        report.sessions.into_iter().map(|session| session.token_ids).collect::<Vec<_>>()
    };
    assert_eq!(tokens(), tokens());
}

#[test]
fn without_json_it_prints_the_report() {
    let output = parallel(&["--sessions", "2", "--max-tokens", "4"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.starts_with("🎯 Starting parallel LLM evaluation with 2 sessions\n📋 Model: llama-tied-f32\n"),
        "{text}"
    );
    assert!(text.ends_with("   • GPU operation serialization\n"), "{text}");
    assert_eq!(stderr(&output), "", "progress is shown on a terminal only");
    let quiet = parallel(&["--sessions", "2", "--max-tokens", "4", "--quiet"]);
    assert!(!stdout(&quiet).contains("🚀") && stdout(&quiet).contains("📊 PARALLEL EVALUATION RESULTS"));
}

#[test]
fn a_session_that_fails_makes_exit_code_1_and_leaves_the_others() {
    let long = "word ".repeat(2000);
    let output = parallel(&["--sessions", "2", "--max-tokens", "4", "--prompt", &long, "--prompt", "short", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: RunReport = serde_json::from_str(stdout(&output)).unwrap();
    assert!(report.sessions[0].error.as_ref().unwrap().contains("context"));
    assert!(report.sessions[1].finish_reason.is_success());
}

#[test]
fn what_cannot_start_says_why_and_makes_exit_code_2() {
    let cases: [(&[&str], &str); 11] = [
        (&["--sessions", "0"], "at least 1 session"),
        (&["--sessions", "100000"], "at most 1024 sessions"),
        (&["--sessions", "-1"], "invalid value '-1'"),
        (&["--temperature", "-1"], "temperature must be from 0 to 10, not -1"),
        (&["--temperature", "NaN"], "temperature must be from 0 to 10"),
        (&["--max-tokens", "0"], "max tokens must be at least 1"),
        (&["--top-p", "0"], "top-p must be above 0"),
        (&["--prompt", " "], "prompt 1 is empty"),
        (&["--prompts-file", "no/such/file"], "can't be read"),
        (&["--execution", "sideways"], "invalid value 'sideways'"),
        (&["--exact-width", "0"], "the exact width must be from 1 to 64"),
    ];
    for (arguments, words) in cases {
        let output = parallel(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    let missing = llmeval(&["parallel", "--model", "./no/such/model", "--json"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("no/such/model"), "{}", stderr(&missing));
}

#[test]
fn a_run_that_cannot_fit_is_refused_with_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"] {
        std::fs::copy(PathBuf::from(MODEL).join(file), folder.path().join(file)).unwrap();
    }
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let endless = config.replace(r#""max_position_embeddings": 512"#, r#""max_position_embeddings": 2000000000"#);
    assert_ne!(config, endless);
    std::fs::write(folder.path().join("config.json"), endless).unwrap();
    let model = folder.path().to_str().unwrap();
    let arguments = ["parallel", "--model", model, "--sessions", "1024", "--max-tokens", "1900000000", "--json"];
    let output = llmeval(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    for words in ["This run needs", "weights", "1024 KV caches", "are there"] {
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
#[cfg(all(target_os = "linux", feature = "window"))]
fn without_a_display_it_says_so_and_runs_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = llmeval(&[MODEL]);
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
        command.env_remove(name);
    }
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, folder.path());
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("no window can be opened here"), "{}", stderr(&output));
    assert!(!stderr(&output).contains(".rs:"), "a person has no use for source lines: {}", stderr(&output));
    assert!(stdout(&output).contains("📊 PARALLEL EVALUATION RESULTS"));
    assert!(stdout(&output).contains("across 3 sessions"));
    let log = std::fs::read_to_string(folder.path().join("llmeval/llmeval.log")).unwrap();
    assert!(log.contains("the window opens"), "{log}");
}

#[test]
fn a_misspelt_command_opens_no_window() {
    let output = llmeval(&["paralell"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("neither a command nor a file that is there"), "{}", stderr(&output));
}

#[test]
fn verify_compares_and_its_exit_code_says_what_it_found() {
    let arguments =
        ["verify", "--model", MODEL, "--sessions", "3", "--rounds", "2", "--max-tokens", "6", "--execution"];
    let output = llmeval(&arguments).args(["serialized", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stderr(&output), stdout(&output));
    let report: VerifyReport = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report.comparisons.len(), 6);
    assert!(report.is_equal());
    let table = llmeval(&arguments).args(["serialized"]).output().unwrap();
    assert!(stdout(&table).ends_with("6 of 6 equal to the same session alone, tokens and logits, bit for bit\n"));
}

#[test]
fn bench_gives_a_row_for_each_execution_and_number_of_sessions() {
    let arguments = ["bench", "--model", MODEL, "--sessions", "1,3", "--max-tokens", "5"];
    let output = llmeval(&arguments).args(["--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows: Vec<ScalingRow> = serde_json::from_str(stdout(&output)).unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| (row.execution, row.sessions)).collect();
    use Execution::{Batched, Serialized};
    assert_eq!(kinds, [(Serialized, 1), (Serialized, 3), (Batched, 1), (Batched, 3)]);
    assert_eq!(rows[0].speed_up, Some(1.0));
    assert!(rows.iter().all(|row| row.tokens_per_second > 0.0 && row.speed_up.is_some()));
    let table = llmeval(&arguments).output().unwrap();
    assert_eq!(stdout(&table).lines().filter(|line| line.starts_with("| ")).count(), 5);
}

#[test]
fn devices_names_the_device_and_the_reason() {
    let output = llmeval(&["devices"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.starts_with("cpu: ") || text.starts_with("gpu: "), "{text}");
}

#[test]
fn help_names_every_command_and_option() {
    let help = llmeval(&["--help"]).output().unwrap();
    assert!(stdout(&help).contains("parallel") && stdout(&help).contains("devices"));
    let help = llmeval(&["parallel", "--help"]).output().unwrap();
    for option in ["--sessions", "--prompts-file", "--repetition-penalty", "--cache-limit", "--json", "Exit codes"] {
        assert!(stdout(&help).contains(option), "{option}");
    }
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn ctrl_c_in_a_run_prints_what_came_so_far() {
    // Far more work than the test waits for, first in the queue, in prefill and in decode.
    let mut child =
        llmeval(&["parallel", "--model", MODEL, "--sessions", "1000", "--max-tokens", "400"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("🚀 Starting session 999") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before the run");
    }
    interrupt(&child);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.contains("⏹️  Session 999 stopped"), "{rest}");
    assert!(rest.contains("📈 Average performance"), "{rest}");
}

/// Starts `llmeval parallel`, and returns once its log holds the words; the log goes on in the reader.
fn started_until(words: &str, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut child = llmeval(&["parallel"]).args(arguments).env("RUST_LOG", "llmeval=trace").spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before: {words}");
    }
    (child, log)
}

/// Ends `llmeval parallel --json` by Ctrl-C at the words in its log; what it then reports.
fn interrupted_at(words: &str, arguments: &[&str]) -> RunReport {
    let (mut child, log) = started_until(words, arguments);
    interrupt(&child);
    // A full pipe would hold the program up.
    let rest = std::thread::spawn(move || log.lines().count());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    rest.join().unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn ctrl_c_in_a_run_gives_whole_json_too() {
    let report =
        interrupted_at("run started", &["--model", MODEL, "--sessions", "1000", "--max-tokens", "400", "--json"]);
    assert_eq!(report.sessions.len(), 1000);
    assert_eq!(report.sessions[999].finish_reason, FinishReason::Cancelled);
}

#[test]
fn ctrl_c_in_prefill_reports_the_session_as_stopped() {
    let prompt = "word ".repeat(6000);
    let report = interrupted_at("prefill started", &["--sessions", "1", "--prompt", &prompt, "--raw", "--json"]);
    assert_eq!((report.sessions[0].finish_reason, report.sessions[0].tokens), (FinishReason::Cancelled, 0));
    assert!(report.sessions[0].prompt_tokens > Some(6000));
}

#[test]
fn ctrl_c_in_decode_keeps_the_tokens_that_came() {
    let report =
        interrupted_at("token 3", &["--sessions", "2", "--max-tokens", "4000", "--temperature", "0", "--json"]);
    for session in &report.sessions {
        assert_eq!(session.finish_reason, FinishReason::Cancelled);
    }
    assert!(report.sessions[0].tokens >= 3 && !report.sessions[0].text.is_empty(), "{report:?}");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let prompt = "word ".repeat(6000);
    let (mut child, _log) = started_until("prefill started", &["--sessions", "1", "--prompt", &prompt, "--raw"]);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        interrupt(&child);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130), "not a crash of MLX, which still computes");
}

#[test]
fn ctrl_c_in_a_load_ends_it() {
    let (mut child, mut log) = started_until("load started", &[]);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut words = String::new();
    log.read_to_string(&mut words).unwrap();
    assert!(words.contains("stopped before any session started"), "{words}");
}

#[test]
fn ctrl_c_in_a_download_ends_it() {
    let hub = TcpListener::bind("127.0.0.1:0").unwrap();
    let cache = tempfile::tempdir().unwrap();
    let mut child = llmeval(&["parallel", "--model", "someone/some-model"])
        .env("HF_ENDPOINT", format!("http://{}", hub.local_addr().unwrap()))
        .env("HF_HOME", cache.path())
        .env_remove("HF_HUB_OFFLINE")
        .spawn()
        .unwrap();
    // The hub takes the call and never answers.
    let _call = hub.accept().unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("stopped before any session started"), "{words}");
}
