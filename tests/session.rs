//! Sessions and parallel runs over a scripted engine and a real tokenizer.

use crate::support::scripted::{
    Call, Gate, Log, Script, TEXT_FOLDER, Trouble, scripted_answer, scripted_model, scripted_model_with,
};
use llmeval::engine::EngineSettings;
use llmeval::protocol::{
    EvaluationResult, Execution, FinishReason, ModelSource, ParallelConfig, RunReport, SessionId, SessionRequest,
    SessionUpdate, UpdateKind, tokens_per_second,
};
use llmeval::session::scaling::scaling;
use llmeval::session::{LoadError, LoadedModel, ParallelRun, Wake};
use llmeval::text::{Chat, TextModel};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

fn config(sessions: u32) -> ParallelConfig {
    ParallelConfig { sessions, max_tokens: 12, ..ParallelConfig::default() }
}

fn silent() -> Wake {
    Arc::new(|| {})
}

/// Runs to the end and gives every update beside the report.
async fn run(model: &LoadedModel, config: ParallelConfig) -> (RunReport, Vec<SessionUpdate>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let run = ParallelRun::start(model, config, sender, silent()).unwrap();
    let mut updates = Vec::new();
    while let Some(update) = receiver.recv().await {
        updates.push(update);
    }
    (run.finish().await, updates)
}

/// What the scripted engine answers to session `index`.
fn expected_ids(config: &ParallelConfig, index: u32) -> (Vec<u32>, Vec<u32>) {
    let text = TextModel::from_folder(Path::new(TEXT_FOLDER)).unwrap();
    let chat = Chat { thinking: Some(false), ..Chat::question(config.system.as_deref(), config.prompt(index)) };
    let prompt = text.encode_chat(&chat).unwrap();
    let request = SessionRequest {
        id: SessionId(index),
        prompt: prompt.clone().into(),
        sampling: config.sampling(index).unwrap(),
        max_tokens: config.max_tokens,
        end_of_sequence: text.end_of_sequence(),
        hash_logits: false,
    };
    let mut ids = scripted_answer(&request, Script::default().vocabulary);
    if let Some(end) = ids.iter().position(|id| request.end_of_sequence.contains(id)) {
        ids.truncate(end);
    }
    (prompt, ids)
}

#[tokio::test]
async fn each_session_answers_its_own_prompt_with_its_own_seed() {
    let (model, _) = scripted_model(Script::default()).await;
    let config = config(5);
    let (report, _) = run(&model, config.clone()).await;
    assert_eq!(report.sessions.len(), 5);
    for (index, session) in report.sessions.iter().enumerate() {
        let index = index as u32;
        let (prompt, ids) = expected_ids(&config, index);
        assert_eq!(session.id, SessionId(index));
        assert_eq!(session.prompt, ParallelConfig::DEFAULT_PROMPTS[index as usize % 3]);
        assert_eq!(session.prompt_tokens, Some(prompt.len() as u32));
        assert_eq!((session.origin.model.as_str(), session.origin.engine.as_str()), ("qwen3-f32", "llmeval"));
        assert_eq!(session.seed, u64::from(index) * 1000);
        assert_eq!(session.token_ids, ids);
        assert_eq!(session.text, model.text().decode(&ids));
    }
}

#[tokio::test]
async fn panels_and_totals_reconcile_with_the_report() {
    let (model, _) = scripted_model(Script { step: Duration::from_millis(1), ..Script::default() }).await;
    let (report, updates) = run(&model, config(4)).await;
    for session in &report.sessions {
        let own = || updates.iter().filter(|update| update.id == session.id);
        let mut text = String::new();
        let mut tokens_shown = 0;
        for update in own() {
            if let UpdateKind::Tokens { text: more, tokens } = &update.kind {
                text.push_str(more);
                tokens_shown = *tokens;
            }
        }
        assert_eq!(text, session.text);
        assert_eq!(tokens_shown, session.tokens);
        assert_eq!(session.tokens as usize, session.token_ids.len());
        assert!(matches!(own().next().unwrap().kind, UpdateKind::Submitted { .. }));
        let UpdateKind::Ended(last) = &own().next_back().unwrap().kind else {
            panic!("the last update is not the end")
        };
        assert_eq!(**last, *session);
    }
    assert_eq!(report.total_tokens, report.sessions.iter().map(|session| u64::from(session.tokens)).sum::<u64>());
    let last_end = report.sessions.iter().map(|session| session.timeline.ended_s).fold(0.0, f64::max);
    assert_eq!(report.wall_time_s, last_end);
    assert_eq!(report.tokens_per_second, report.total_tokens as f64 / report.wall_time_s);
    assert!(
        report.sessions.iter().any(|session| session.timeline.submitted_s == 0.0),
        "the clock starts with a submit"
    );
}

#[tokio::test]
async fn figures_are_what_their_definitions_say() {
    let (model, _) = scripted_model(Script { step: Duration::from_millis(2), ..Script::default() }).await;
    let (report, _) = run(&model, config(3)).await;
    for EvaluationResult { timeline, tokens, tokens_per_second, time_to_first_token_ms, duration_s, .. } in
        report.sessions
    {
        let (first, last) = (timeline.first_token_s.unwrap(), timeline.last_token_s.unwrap());
        assert_eq!(time_to_first_token_ms.unwrap(), (first - timeline.submitted_s) * 1000.0);
        assert_eq!(tokens_per_second, f64::from(tokens - 1) / (last - first));
        assert_eq!(duration_s, timeline.ended_s - timeline.submitted_s);
        assert!(timeline.submitted_s <= timeline.prefill_s.unwrap());
        assert!(timeline.prefill_s.unwrap() <= first && first <= last && last <= timeline.ended_s);
    }
}

#[test]
fn below_two_tokens_there_is_no_rate() {
    assert_eq!(tokens_per_second(1, Some(1.0), Some(1.0)), 0.0);
    assert_eq!(tokens_per_second(0, None, None), 0.0);
    assert_eq!(tokens_per_second(11, Some(1.0), Some(3.0)), 5.0);
}

#[tokio::test]
async fn a_stop_string_is_never_shown_and_ends_only_its_session() {
    let (model, _) = scripted_model(Script::default()).await;
    let plain = config(2);
    let whole = run(&model, plain.clone()).await.0.sessions[0].text.clone();
    let characters: Vec<char> = whole.chars().collect();
    let stop: String = characters[characters.len() / 2..characters.len() / 2 + 3].iter().collect();
    let (report, updates) = run(&model, ParallelConfig { stop: vec![stop.clone()], ..plain.clone() }).await;
    let stopped = &report.sessions[0];
    assert_eq!(stopped.finish_reason, FinishReason::StopString);
    assert_eq!(stopped.text, whole[..whole.find(&stop).unwrap()]);
    let shown: String = updates
        .iter()
        .filter_map(|update| match &update.kind {
            UpdateKind::Tokens { text, .. } if update.id == SessionId(0) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(shown, stopped.text);
    assert!(stopped.token_ids.len() < expected_ids(&plain, 0).1.len());
}

#[tokio::test]
async fn stopping_one_session_keeps_what_it_gave_and_leaves_the_others() {
    let (model, _) = scripted_model(Script { step: Duration::from_millis(2), ..Script::default() }).await;
    let config = ParallelConfig { max_tokens: 60, ..config(3) };
    let (sender, mut receiver) = mpsc::channel(4);
    let run = ParallelRun::start(&model, config.clone(), sender, silent()).unwrap();
    let stops = run.stop_handle();
    while let Some(update) = receiver.recv().await {
        if update.id == SessionId(1) && matches!(update.kind, UpdateKind::Tokens { tokens, .. } if tokens >= 3) {
            stops.stop(SessionId(1));
        }
    }
    let report = run.finish().await;
    let stopped = &report.sessions[1];
    assert_eq!(stopped.finish_reason, FinishReason::Cancelled);
    assert!((3..60).contains(&stopped.tokens), "{} tokens", stopped.tokens);
    assert_eq!(stopped.token_ids, expected_ids(&config, 1).1[..stopped.tokens as usize]);
    assert_eq!(stopped.text, model.text().decode(&stopped.token_ids));
    for index in [0, 2] {
        assert_eq!(report.sessions[index as usize].token_ids, expected_ids(&config, index).1);
    }
}

#[tokio::test]
async fn stopping_all_also_ends_sessions_that_still_wait() {
    let gate = Gate::default();
    let script = Script { gate: Some(gate.clone()), step: Duration::from_millis(1), ..Script::default() };
    let (model, _) = scripted_model(script).await;
    let (sender, mut receiver) = mpsc::channel(1000);
    // No session can come to its own end before it is stopped.
    let endless = ParallelConfig { max_tokens: 1_000_000, ..config(50) };
    let run = ParallelRun::start(&model, endless, sender, silent()).unwrap();
    receiver.recv().await;
    run.stop_handle().stop_all();
    gate.open();
    let report = run.finish().await;
    assert_eq!(report.sessions.len(), 50);
    assert!(report.sessions.iter().all(|session| session.finish_reason == FinishReason::Cancelled));
}

#[tokio::test]
async fn dropping_the_run_stops_its_sessions() {
    let (model, _) = scripted_model(Script { step: Duration::from_millis(1), ..Script::default() }).await;
    let (sender, mut receiver) = mpsc::channel(4);
    let run = ParallelRun::start(&model, ParallelConfig { max_tokens: 1_000_000, ..config(2) }, sender, silent());
    receiver.recv().await;
    drop(run);
    let mut ends = Vec::new();
    while let Some(update) = receiver.recv().await {
        if let UpdateKind::Ended(result) = update.kind {
            ends.push(result.finish_reason);
        }
    }
    assert_eq!(ends, [FinishReason::Cancelled; 2]);
}

#[tokio::test]
async fn a_run_ends_where_nobody_reads_its_updates_any_more() {
    let (model, _) = scripted_model(Script::default()).await;
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let report = ParallelRun::start(&model, config(3), sender, silent()).unwrap().finish().await;
    assert_eq!(report.total_tokens, report.sessions.iter().map(|session| u64::from(session.tokens)).sum::<u64>());
}

#[tokio::test]
async fn every_update_wakes_the_reader() {
    let (model, _) = scripted_model(Script::default()).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let (sender, mut receiver) = mpsc::channel(1000);
    let wake: Wake = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let run = ParallelRun::start(&model, config(3), sender, wake).unwrap();
    run.finish().await;
    let mut updates = 0;
    while receiver.try_recv().is_ok() {
        updates += 1;
    }
    assert_eq!(calls.load(Ordering::SeqCst), updates);
}

#[tokio::test]
async fn one_failing_session_is_reported_in_its_own_result() {
    let script = Script { troubles: vec![(SessionId(1), Trouble::LaunchFails(4))], ..Script::default() };
    let (model, _) = scripted_model(script).await;
    let config = config(3);
    let (report, _) = run(&model, config.clone()).await;
    let failed = &report.sessions[1];
    assert_eq!(failed.finish_reason, FinishReason::Error);
    assert_eq!(failed.error.as_deref(), Some("session 1 can't take a step"));
    assert_eq!(failed.token_ids, expected_ids(&config, 1).1[..4]);
    assert_eq!(report.sessions[2].token_ids, expected_ids(&config, 2).1);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_fails_alone() {
    let (model, _) = scripted_model(Script { context_length: 200, ..Script::default() }).await;
    let prompts = vec!["word ".repeat(500), "short".to_owned()];
    let (report, _) = run(&model, ParallelConfig { prompts, ..config(2) }).await;
    assert!(report.sessions[0].error.as_ref().unwrap().contains("context of 200 tokens"));
    assert!(report.sessions[1].finish_reason.is_success());
}

#[tokio::test]
async fn settings_that_no_run_can_have_are_refused_in_words() {
    let (model, _) = scripted_model(Script::default()).await;
    let refusal = |config: ParallelConfig| {
        let (sender, _receiver) = mpsc::channel(1);
        ParallelRun::start(&model, config, sender, silent()).unwrap_err().to_string()
    };
    assert!(refusal(config(0)).contains("at least 1 session"));
    assert!(refusal(config(100_000)).contains("at most 1024 sessions, not 100000"));
    assert!(refusal(ParallelConfig { temperature: -1.0, ..config(1) }).contains("temperature must be from 0 to 10"));
    assert!(refusal(ParallelConfig { temperature: f32::NAN, ..config(1) }).contains("temperature"));
    assert!(refusal(ParallelConfig { max_tokens: 0, ..config(1) }).contains("max tokens"));
    let blank = ParallelConfig { prompts: vec!["fine".into(), " \n".into()], ..config(1) };
    assert!(refusal(blank).contains("prompt 2 is empty"));
}

#[tokio::test]
async fn a_run_of_the_same_settings_gives_the_same_tokens() {
    let (model, _) = scripted_model(Script::default()).await;
    let ids = |report: RunReport| report.sessions.into_iter().map(|session| session.token_ids).collect::<Vec<_>>();
    let first = run(&model, config(4)).await.0;
    let again = run(&model, first.config.clone()).await.0;
    assert_eq!(ids(first), ids(again));
}

#[tokio::test]
async fn a_session_runs_again_alone_with_its_own_seed() {
    let (model, _) = scripted_model(Script::default()).await;
    let config = ParallelConfig { seed: 7, ..config(3) };
    let together = run(&model, config.clone()).await.0;
    let third = &together.sessions[2];
    let alone = ParallelConfig { sessions: 1, prompts: vec![third.prompt.clone()], seed: third.seed, ..config };
    assert_eq!(run(&model, alone).await.0.sessions[0].token_ids, third.token_ids);
}

#[tokio::test]
async fn the_report_is_all_that_is_needed_to_run_it_again() {
    let (model, _) = scripted_model(Script::default()).await;
    let (report, _) = run(&model, ParallelConfig { execution: Execution::Serialized, ..config(2) }).await;
    let json = serde_json::to_string(&report).unwrap();
    let read: RunReport = serde_json::from_str(&json).unwrap();
    assert_eq!(read.config.model, ModelSource::Folder(TEXT_FOLDER.into()));
    assert_eq!(read.config, report.config);
    let texts = |report: &RunReport| report.sessions.iter().map(|session| session.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&read), texts(&report));
    assert_eq!(texts(&run(&model, read.config).await.0), texts(&report));
}

#[tokio::test]
async fn a_model_that_does_not_load_says_why() {
    let load = |source: ModelSource| {
        LoadedModel::load(
            source,
            Default::default(),
            |_| {},
            |_, _| {
                Err::<(crate::support::scripted::ScriptedBackend, _), _>("the weights are of another world".to_owned())
            },
        )
    };
    let missing = load(ModelSource::Folder("no/such/folder".into())).await.unwrap_err();
    assert!(matches!(missing, LoadError::Files(_)) && missing.to_string().contains("no/such/folder"), "{missing}");
    let refused = load(ModelSource::Folder(TEXT_FOLDER.into())).await.unwrap_err();
    assert_eq!(refused.to_string(), "the weights are of another world");
}

/// How many prompt tokens the engine has read.
fn read(log: &Log) -> usize {
    let read = log.calls().into_iter().map(|call| match call {
        Call::Prefill { tokens, .. } => tokens,
        _ => 0,
    });
    read.sum()
}

#[tokio::test]
async fn a_session_that_the_engine_refuses_ends_with_the_reason_and_touches_nobody_else() {
    let settings = EngineSettings { max_sessions: 2, ..EngineSettings::default() };
    let gate = Gate::default();
    let (model, _) = scripted_model_with(Script { gate: Some(gate.clone()), ..Script::default() }, settings).await;
    let (sender, mut receiver) = mpsc::channel(1000);
    let run = ParallelRun::start(&model, config(4), sender, silent()).unwrap();
    // The two that were refused end while the others' first step waits.
    let mut ended = Vec::new();
    while ended.len() < 2 {
        if let UpdateKind::Ended(result) = receiver.recv().await.unwrap().kind {
            ended.push(result.id);
        }
    }
    ended.sort();
    assert_eq!(ended, [2, 3].map(SessionId));
    gate.open();
    let sessions = run.finish().await.sessions;
    for index in [0, 1] {
        assert_eq!(sessions[index].token_ids, expected_ids(&config(4), index as u32).1);
    }
    for refused in &sessions[2..] {
        assert_eq!(refused.finish_reason, FinishReason::Error);
        let words = refused.error.as_ref().unwrap();
        assert!(words.contains("2 sessions running or waiting and takes no more"), "{words}");
    }
}

#[tokio::test]
async fn a_plain_run_takes_over_the_prompts_that_an_earlier_one_has_read_and_gives_the_same() {
    let (model, log) = scripted_model(Script { keeps_prompts: true, ..Script::default() }).await;
    let first = run(&model, config(3)).await.0;
    let read_once = read(&log);
    assert!(read_once > 0);
    let second = run(&model, config(3)).await.0;
    assert_eq!(read(&log), read_once);
    for (first, second) in first.sessions.iter().zip(&second.sessions) {
        assert_eq!(first.token_ids, second.token_ids);
    }
    assert!(!log.calls().contains(&Call::ForgetPrompts));
}

#[tokio::test]
async fn every_run_of_a_sweep_reads_its_prompts_anew() {
    let (model, log) = scripted_model(Script { keeps_prompts: true, ..Script::default() }).await;
    let executions = [Execution::Serialized, Execution::Batched];
    scaling(&model, &config(1), &[1, 3], &executions, |_, _, _| {}).await.unwrap();
    let calls = log.calls();
    let runs: Vec<_> = calls.split(|call| *call == Call::ForgetPrompts).skip(1).collect();
    let read = |run: &&[Call]| -> usize {
        run.iter().map(|call| if let Call::Prefill { tokens, .. } = call { *tokens } else { 0 }).sum()
    };
    let read: Vec<usize> = runs.iter().map(read).collect();
    let unfed = |index| expected_ids(&config(3), index).0.len() - 1;
    // The warm-up, one session in both executions, three in both, whose chat templates begin alike.
    assert_eq!(read.len(), 5);
    assert_eq!(read[..3], [unfed(0); 3]);
    assert!(read[3] == read[4] && read[3] > read[2] && read[3] <= (0..3).map(unfed).sum(), "{read:?}");
}

#[tokio::test]
async fn a_run_leaves_the_cache_limit_as_it_is() {
    let settings = EngineSettings { cache_limit: 77_000_000, ..EngineSettings::default() };
    let (model, _) = scripted_model_with(Script::default(), settings).await;
    run(&model, ParallelConfig { cache_limit_mb: 1, ..config(2) }).await;
    model.engine().reset_peak_memory().await.unwrap();
    assert_eq!(model.engine().memory().cache, 77_000_000);
}
