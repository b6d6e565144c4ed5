//! Sessions on an engine that is elsewhere and tells less: what it lacks stays empty in reports and in the window's state.

use crate::support::remote::{RemoteScript, RemoteSource, TOKENS_OF_A_CHUNK};
use crate::support::scripted::{Script, scripted_model};
use llmeval::evaluation::report_run;
use llmeval::protocol::{
    Execution, FinishReason, Origin, ParallelConfig, Replay, RunReport, SessionId, SessionState, SessionUpdate,
};
use llmeval::session::scaling::scaling;
use llmeval::session::verify::{Verdict, VerifyError, replay, verify};
use llmeval::session::{ParallelRun, Source, report};
use llmeval::state::{ExportFormat, RunPhase, RunState, read_report};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

fn config(sessions: u32) -> ParallelConfig {
    let prompts = (0..sessions).map(|index| format!("Hello number {index}")).collect();
    ParallelConfig { sessions, prompts, max_tokens: 16, execution: Execution::Batched, ..ParallelConfig::default() }
}

fn remote(script: RemoteScript) -> Arc<RemoteSource> {
    RemoteSource::new("vllm@studio", script)
}

async fn run(sources: Vec<Arc<dyn Source>>, config: ParallelConfig) -> (RunReport, Vec<SessionUpdate>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let run = ParallelRun::start_on(sources, config, sender, Arc::new(|| {})).unwrap();
    let mut updates = Vec::new();
    while let Some(update) = receiver.recv().await {
        updates.push(update);
    }
    (run.finish().await, updates)
}

#[tokio::test]
async fn what_the_engine_does_not_tell_is_left_out_and_what_this_end_measures_is_there() {
    let source = remote(RemoteScript { chunk: Duration::from_millis(2), ..RemoteScript::default() });
    let (report, _) = run(vec![source.clone()], config(4)).await;
    assert_eq!(report.model, "vllm@studio: Qwen/Qwen3-32B");
    for session in &report.sessions {
        let words: String = RemoteSource::chunks(&session.prompt, 16).concat();
        assert_eq!(session.text, words);
        assert_eq!(session.tokens, 8 * TOKENS_OF_A_CHUNK, "the engine's own count replaces that of the chunks");
        assert!(session.token_ids.is_empty() && session.prompt_tokens.is_none());
        assert_eq!(session.finish_reason, FinishReason::EndOfSequence);
        assert_eq!(session.origin, Origin { model: "Qwen/Qwen3-32B".into(), engine: "vllm@studio".into() });
        assert!(session.time_to_first_token_ms.unwrap() > 0.0 && session.tokens_per_second > 0.0);
    }
    assert!(report.tokens_per_second > 0.0);
    let order: Vec<_> = source.jobs.lock().unwrap().iter().map(|job| job.id.0).collect();
    assert_eq!(order, [0, 1, 2, 3], "sessions are handed over in order of their numbers");

    let json = serde_json::to_value(&report).unwrap();
    for field in ["parameters", "device", "load_seconds", "peak_memory_bytes", "exact_width", "packed_bits"] {
        assert!(json.get(field).is_none(), "{field} is not known, and not zero");
    }
    assert!(json["sessions"][0].get("prompt_tokens").is_none());
    assert_eq!(json["sessions"][0]["engine"], "vllm@studio");
    assert_eq!(json["sessions"][0]["model"], "Qwen/Qwen3-32B");
    let opened = read_report(&json.to_string()).unwrap();
    assert_eq!((opened.peak_memory_bytes, opened.device, opened.parameters), (None, None, None));
    assert_eq!(opened.sessions[0].origin, report.sessions[0].origin);
    assert_eq!(opened.sessions[0].prompt_tokens, None);
}

#[tokio::test]
async fn a_prompt_length_that_the_engine_tells_at_the_end_is_reported() {
    let source = remote(RemoteScript { prompt_tokens: Some(21), ..RemoteScript::default() });
    let (report, updates) = run(vec![source], config(1)).await;
    assert_eq!(report.sessions[0].prompt_tokens, Some(21));
    let mut shown = RunState::start(config(1), report.model.clone());
    updates.into_iter().for_each(|update| shown.apply(update));
    assert_eq!(shown.panels[0].prompt_tokens, Some(21));
}

#[tokio::test]
async fn the_windows_panels_and_exports_cope_with_an_engine_that_tells_less() {
    let (report, updates) = run(vec![remote(RemoteScript::default())], config(3)).await;
    let mut shown = RunState::start(config(3), report.model.clone());
    updates.into_iter().for_each(|update| shown.apply(update));
    shown.tick(1.0, None);
    assert_eq!(shown.peak_memory_bytes, None);
    shown.finish(report.clone());
    assert_eq!((shown.phase, shown.peak_memory_bytes), (RunPhase::Ended, None));
    for (panel, session) in shown.panels.iter().zip(&report.sessions) {
        assert_eq!((panel.state, panel.prompt_tokens), (SessionState::Done, None));
        assert_eq!((&panel.text, panel.tokens), (&session.text, session.tokens));
        assert_eq!(panel.tokens_per_second(), session.tokens_per_second);
    }
    assert_eq!(shown.totals().tokens, report.total_tokens);
    let markdown = ExportFormat::Markdown.write(&report).unwrap();
    assert!(markdown.contains("batched execution, temperature"), "no device is named: {markdown}");
    assert!(!markdown.contains("memory"), "{markdown}");
    let csv = ExportFormat::Csv.write(&report).unwrap();
    let line = csv.lines().nth(1).unwrap();
    assert_eq!(line.split(',').nth(6), Some(""), "prompt tokens are empty, not 0: {line}");
}

#[tokio::test]
async fn the_console_report_is_the_same_but_for_the_models_name() {
    let (updates, reader) = mpsc::channel(100);
    let source: Arc<dyn Source> = remote(RemoteScript::default());
    let name = source.origin().to_string();
    let run = ParallelRun::start(source, config(2), updates, Arc::new(|| {})).unwrap();
    let mut console = Vec::new();
    let report = report_run(run, reader, &config(2), &name, &mut console).await.unwrap();
    let console = String::from_utf8(console).unwrap();
    assert!(console.contains("📋 Model: vllm@studio: Qwen/Qwen3-32B\n"));
    assert!(console.contains("💬 Generated: You said “Hello number 1”, and I heard"), "{console}");
    assert!(console.ends_with(&report::results(&report)));
    assert_eq!(console.matches("📋 Model").count(), 1, "one model is named once");
}

#[tokio::test]
async fn one_run_holds_sessions_on_a_loaded_model_and_on_an_engine_elsewhere() {
    let (model, _) = scripted_model(Script::default()).await;
    let elsewhere = remote(RemoteScript::default());
    let (report, _) = run(vec![Arc::new(model.clone()), elsewhere.clone()], config(4)).await;
    assert_eq!(report.model, "qwen3-f32, vllm@studio: Qwen/Qwen3-32B");
    let engines: Vec<_> = report.sessions.iter().map(|session| session.origin.engine.as_str()).collect();
    assert_eq!(engines, ["llmeval", "vllm@studio", "llmeval", "vllm@studio"]);
    assert!(report.sessions.iter().all(|session| session.finish_reason.is_success()));
    assert_eq!(
        report.sessions.iter().map(|session| session.token_ids.is_empty()).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    assert!(report.parameters.is_none() && report.device.is_none(), "these differ or are not known");
    assert!(report.peak_memory_bytes.is_some(), "what is used here is known");
    assert_eq!(elsewhere.jobs.lock().unwrap().len(), 2);
    let results = report::results(&report);
    assert!(results.contains("🎯 Session 0:\n   📋 Model: qwen3-f32\n   📝 Prompt: Hello number 0...\n"), "{results}");
    assert!(results.contains("🎯 Session 1:\n   📋 Model: vllm@studio: Qwen/Qwen3-32B\n   📝 Prompt"), "{results}");
}

#[tokio::test]
async fn a_session_that_is_refused_or_breaks_touches_no_other_and_keeps_what_came() {
    let script = RemoteScript { refuses: vec![SessionId(1)], breaks: vec![SessionId(2)], ..RemoteScript::default() };
    let (report, _) = run(vec![remote(script)], config(4)).await;
    let reasons: Vec<_> = report.sessions.iter().map(|session| session.finish_reason).collect();
    use FinishReason::{EndOfSequence, Error};
    assert_eq!(reasons, [EndOfSequence, Error, Error, EndOfSequence]);
    assert_eq!(report.sessions[1].error.as_deref(), Some("vllm@studio has no model of that name"));
    assert_eq!(report.sessions[2].error.as_deref(), Some("the connection to vllm@studio was reset"));
    assert_eq!((report.sessions[2].text.as_str(), report.sessions[2].tokens), ("You ", 1));
}

#[tokio::test]
async fn stopping_a_session_cancels_it_where_it_runs_and_keeps_what_came() {
    let source = remote(RemoteScript { chunk: Duration::from_millis(5), ..RemoteScript::default() });
    let (sender, mut receiver) = mpsc::channel(100);
    let endless = ParallelConfig { prompts: vec!["word ".repeat(5000)], max_tokens: 10_000, ..config(1) };
    let run = ParallelRun::start(source.clone() as Arc<dyn Source>, endless, sender, Arc::new(|| {})).unwrap();
    let stops = run.stop_handle();
    while let Some(update) = receiver.recv().await {
        if matches!(update.kind, llmeval::protocol::UpdateKind::Tokens { tokens, .. } if tokens >= 3) {
            stops.stop_all();
        }
    }
    let report = run.finish().await;
    assert!(source.was_cancelled.load(Ordering::SeqCst));
    assert_eq!(report.sessions[0].finish_reason, FinishReason::Cancelled);
    assert!(report.sessions[0].text.starts_with("You said “word "));
}

#[tokio::test]
async fn exact_execution_is_refused_where_the_engine_has_none() {
    let exact = ParallelConfig { execution: Execution::Exact, ..config(1) };
    let (updates, _) = mpsc::channel(1);
    let source: Arc<dyn Source> = remote(RemoteScript::default());
    let refusal = ParallelRun::start(source.clone(), exact.clone(), updates, Arc::new(|| {})).unwrap_err();
    assert!(refusal.to_string().contains("can't keep sessions apart"), "{refusal}");
    let refusal = verify(source, &exact, 1, |_, _| {}).await.unwrap_err();
    assert!(matches!(&refusal, VerifyError::Config(words) if words.to_string().contains("bit for bit")), "{refusal}");
}

#[tokio::test]
async fn without_token_ids_texts_are_verified() {
    let report = verify(remote(RemoteScript::default()) as Arc<dyn Source>, &config(3), 2, |_, _| {}).await.unwrap();
    assert!(report.is_equal());
    assert!(report.comparisons.iter().all(|comparison| comparison.verdict == Verdict::TextEqual));
    let fickle = remote(RemoteScript { changes_its_mind_at: Some(3), ..RemoteScript::default() });
    let report = verify(fickle as Arc<dyn Source>, &config(3), 1, |_, _| {}).await.unwrap();
    assert!(!report.is_equal());
    // "You said “" is the same; the prompt after it is in capitals, of which the first is one anyway.
    assert!(report.comparisons.iter().any(|comparison| comparison.verdict == Verdict::TextDiffers(11)));
}

#[tokio::test]
async fn without_token_ids_a_replay_compares_texts_and_finds_the_first_character_that_differs() {
    let source: Arc<dyn Source> = remote(RemoteScript::default());
    let (mut report, _) = run(vec![source.clone()], config(2)).await;
    assert_eq!(replay(source.clone(), &report.config, &report.sessions[0]).await, Replay::SameText);
    let broken_off = &mut report.sessions[1];
    broken_off.text.truncate("You said “Hel".len());
    let Replay::TextDiffers { character: 13, start: 15, end: 15, alone: Some(rest) } =
        replay(source.clone(), &report.config, &report.sessions[1]).await
    else {
        panic!("the answer goes on alone")
    };
    assert!(rest.starts_with("lo number 1”"), "{rest}");
    report.sessions[1].finish_reason = FinishReason::Cancelled;
    assert_eq!(replay(source, &report.config, &report.sessions[1]).await, Replay::SameText, "it was stopped there");
}

#[tokio::test]
async fn a_sweep_runs_over_an_engine_elsewhere() {
    let source: Arc<dyn Source> = remote(RemoteScript { chunk: Duration::from_millis(1), ..RemoteScript::default() });
    let rows = scaling(source, &config(1), &[1, 4], &[Execution::Batched], |_, _, _| {}).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sessions).collect::<Vec<_>>(), [1, 4]);
    assert!(rows.iter().all(|row| row.tokens_per_second > 0.0 && row.failed == 0));
    assert!(rows.iter().all(|row| row.peak_memory_bytes.is_none()), "not known, and not zero");
}
