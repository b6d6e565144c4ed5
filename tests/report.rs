//! The console report, character for character.

use llmeval::protocol::{
    DeviceKind, EvaluationResult, FinishReason, ModelFacts, ModelSource, ModelSummary, Origin, ParallelConfig,
    RunReport, SessionId, Timeline,
};
use llmeval::session::report;

fn summary() -> ModelSummary {
    let source = ModelSource::Hub("mlx-community/Qwen3-1.7B-4bit".into());
    ModelSummary {
        name: source.display_name(),
        source,
        facts: ModelFacts {
            architecture: "qwen3".into(),
            parameters: 1_720_574_976,
            weight_bytes: 968_000_000,
            kv_bytes_per_token: 114_688,
            context_length: 40_960,
            device: DeviceKind::Gpu,
            load_seconds: 1.5,
            exact_width: Ok(8),
            packed_bits: None,
        },
        can_think: true,
        can_use_tools: true,
    }
}

/// A session that gave `tokens` tokens at `rate` tokens/s within `duration_s`.
fn result(config: &ParallelConfig, id: u32, rate: f64, tokens: u32, duration_s: f64, text: &str) -> EvaluationResult {
    EvaluationResult {
        id: SessionId(id),
        origin: Origin::local(summary().name),
        prompt: config.prompt(id).to_owned(),
        prompt_tokens: Some(20),
        seed: u64::from(id) * 1000,
        temperature: config.temperature,
        text: text.to_owned(),
        token_ids: Vec::new(),
        tokens,
        time_to_first_token_ms: Some(25.0),
        duration_s,
        tokens_per_second: rate,
        finish_reason: FinishReason::EndOfSequence,
        error: None,
        timeline: Timeline { ended_s: duration_s, ..Timeline::default() },
        replay: None,
    }
}

/// The report of a run over the one loaded model.
fn report_of(config: ParallelConfig, sessions: Vec<EvaluationResult>) -> RunReport {
    let models = [(Origin::local(summary().name), Some(summary()))];
    RunReport::new(&models, config, sessions, Some(1_000_000_000))
}

#[test]
fn a_report_from_before_engines_were_named_opens_as_it_was() {
    let report = report_of(ParallelConfig::default(), vec![result(&ParallelConfig::default(), 0, 45.0, 9, 2.0, "Yes")]);
    let mut json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["sessions"][0]["model"], "mlx-community/Qwen3-1.7B-4bit");
    assert_eq!(json["sessions"][0]["engine"], "llmeval");
    assert_eq!((&json["peak_memory_bytes"], &json["device"]), (&1_000_000_000.into(), &"gpu".into()));
    let session = json["sessions"][0].as_object_mut().unwrap();
    session.remove("model");
    session.remove("engine");
    let old = json.to_string();
    let opened = llmeval::state::read_report(&old).unwrap();
    assert_eq!(opened.sessions[0].origin, Origin::default());
    assert_eq!((opened.sessions[0].prompt_tokens, opened.peak_memory_bytes), (Some(20), Some(1_000_000_000)));
    assert_eq!(serde_json::to_value(&opened).unwrap(), json, "and is written again as it was");
}

#[test]
fn every_field_of_the_json_is_documented() {
    let config = ParallelConfig::default();
    let failed = EvaluationResult {
        error: Some("the device is out of memory".into()),
        replay: Some(llmeval::protocol::Replay::Exact),
        ..result(&config, 0, 1.0, 2, 3.0, "Yes")
    };
    let mut report =
        report_of(ParallelConfig { execution: llmeval::protocol::Execution::Exact, ..config }, vec![failed]);
    report.packed_bits = Some(4);
    let json = serde_json::to_value(&report).unwrap();
    let documented = include_str!("../docs/json.md");
    let session = json["sessions"][0].as_object().unwrap();
    for field in json.as_object().unwrap().keys().chain(session.keys()) {
        assert!(documented.contains(&format!("`{field}`")), "docs/json.md does not name {field}");
    }
}

#[test]
fn the_report_is_the_demos_line_for_line() {
    let config = ParallelConfig { model: summary().source, ..ParallelConfig::default() };
    let sessions = vec![
        result(&config, 0, 45.23, 98, 2.17, "In circuits deep,\nwhere data flows like streams"),
        result(&config, 1, 42.15, 87, 2.06, "A neural network is a web of simple switches"),
        result(&config, 2, 48.92, 95, 1.94, "AI is the broader field"),
    ];
    let mut report = report_of(config.clone(), sessions);
    report.wall_time_s = 2.45;
    let mut text = report::opening(&config, &report.model);
    report.sessions.iter().for_each(|session| text.push_str(&report::ended(session)));
    text.push_str(&report::results(&report));
    assert_eq!(text, include_str!("fixtures/report/three_sessions.txt"));
}

#[test]
fn a_failed_and_a_stopped_session_say_so() {
    let config = ParallelConfig::default();
    let stopped =
        EvaluationResult { finish_reason: FinishReason::Cancelled, ..result(&config, 0, 10.0, 5, 0.5, "It beg") };
    assert_eq!(report::ended(&stopped), "⏹️  Session 0 stopped: 10.00 tokens/sec, 5 tokens\n");
    let failed = EvaluationResult {
        finish_reason: FinishReason::Error,
        error: Some("the device is out of memory".into()),
        ..result(&config, 1, 0.0, 0, 0.1, "")
    };
    assert_eq!(report::ended(&failed), "❌ Session 1 failed: the device is out of memory\n");
    let results = report::results(&report_of(config, vec![stopped, failed]));
    assert!(results.contains("   💬 Generated: ...\n   ❌ Error: the device is out of memory\n"), "{results}");
}

#[test]
fn a_long_prompt_is_cut_at_a_character() {
    let config = ParallelConfig { sessions: 1, prompts: vec!["é".repeat(200)], ..ParallelConfig::default() };
    let opening = report::opening(&config, "model");
    assert!(opening.contains(&format!("prompt: {}...\n", "é".repeat(80))), "{opening}");
}

#[test]
fn a_models_summary_has_its_facts_beside_the_rest_in_json() {
    let json = serde_json::to_value(summary()).unwrap();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "architecture",
            "can_think",
            "can_use_tools",
            "context_length",
            "device",
            "exact_width",
            "kv_bytes_per_token",
            "load_seconds",
            "name",
            "parameters",
            "source",
            "weight_bytes"
        ]
    );
    assert_eq!(serde_json::from_value::<ModelSummary>(json).unwrap(), summary());
}
