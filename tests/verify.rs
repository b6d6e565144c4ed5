//! Verification finds nothing where sessions are isolated, and finds a leak where there is one.

use crate::model_fixtures::root;
use crate::support::scripted::{Call, Script, Trouble, scripted_model};
use llmeval::engine::EngineSettings;
use llmeval::load_model;
use llmeval::model::supported_architectures;
use llmeval::protocol::{Execution, FinishReason, ModelSource, ParallelConfig, Replay, RunReport, SessionId};
use llmeval::session::verify::{Verdict, replay, replayable, schedule, verify};
use llmeval::session::{LoadedModel, ParallelRun};
use llmeval::text::{StopMatcher, TextStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

fn config(sessions: u32) -> ParallelConfig {
    ParallelConfig { sessions, max_tokens: 20, execution: Execution::Exact, ..ParallelConfig::default() }
}

/// Steps take long enough for sessions to meet.
fn script() -> Script {
    Script { step: Duration::from_micros(300), ..Script::default() }
}

#[tokio::test]
async fn isolated_sessions_are_equal_whoever_joins_leaves_or_is_cancelled() {
    let (model, _) = scripted_model(script()).await;
    let report = verify(&model, &config(6), 5, |_, _| {}).await.unwrap();
    assert_eq!(report.comparisons.len(), 30);
    assert!(report.is_equal(), "{:?}", report.comparisons);
    assert!(report.comparisons.iter().any(|comparison| comparison.cancelled));
    assert!(report.comparisons.iter().any(|comparison| comparison.joined_after > 0));
}

#[tokio::test]
async fn a_neighbours_row_that_leaks_is_found() {
    let (model, _) = scripted_model(Script { leaks_from_neighbour: true, ..script() }).await;
    let report = verify(&model, &config(6), 1, |_, _| {}).await.unwrap();
    assert!(!report.is_equal());
    assert!(report.comparisons.iter().any(|comparison| matches!(comparison.verdict, Verdict::TokensDiffer(_))));
}

#[tokio::test]
async fn logits_that_differ_under_equal_tokens_are_found() {
    let (model, _) = scripted_model(Script { hashes_depend_on_width: true, ..script() }).await;
    let report = verify(&model, &config(6), 1, |_, _| {}).await.unwrap();
    assert!(report.comparisons.iter().any(|comparison| matches!(comparison.verdict, Verdict::LogitsDiffer(_))));
    assert!(!report.comparisons.iter().any(|comparison| matches!(comparison.verdict, Verdict::TokensDiffer(_))));
}

#[tokio::test]
async fn a_session_that_fails_is_not_called_equal() {
    let troubles = vec![(SessionId(2), Trouble::LaunchFails(1))];
    let (model, _) = scripted_model(Script { troubles, ..script() }).await;
    let report = verify(&model, &config(3), 1, |_, _| {}).await.unwrap();
    assert!(matches!(&report.comparisons[2].verdict, Verdict::Failed(words) if words.contains("session 2")));
    assert!(!report.is_equal());
}

#[tokio::test]
async fn each_session_alone_and_each_round_reads_its_prompts_anew() {
    let (model, log) = scripted_model(Script { keeps_prompts: true, ..script() }).await;
    // Two sessions with one prompt, so that even the second one alone could take over what the first one alone has read.
    let config = ParallelConfig { prompts: vec!["One prompt".into()], ..config(2) };
    let report = verify(&model, &config, 3, |_, _| {}).await.unwrap();
    assert!(report.is_equal());
    let runs = |calls: &[Call]| -> Vec<usize> {
        let read = |call: &Call| if let Call::Prefill { tokens, .. } = call { *tokens } else { 0 };
        calls.split(|call| *call == Call::ForgetPrompts).skip(1).map(|run| run.iter().map(read).sum()).collect()
    };
    let read = runs(&log.calls());
    assert_eq!(read.len(), 2 + 3);
    assert!(read[0] > 16 && read.iter().all(|tokens| *tokens == read[0]), "shared within a round: {read:?}");
    let finished = self::report(&model, config).await;
    for session in replayable(&finished) {
        assert_eq!(replay(&model, &finished.config, session).await, Replay::Exact);
    }
    // After the third round come two replays; the run before them took the prompt over.
    assert_eq!(runs(&log.calls())[4..], [read[0]; 3]);
}

/// What a run over `model` gave.
async fn report(model: &LoadedModel, config: ParallelConfig) -> RunReport {
    let (updates, _) = mpsc::channel(1);
    ParallelRun::start(model, config, updates, Arc::new(|| {})).unwrap().finish().await
}

#[tokio::test]
async fn sessions_that_are_isolated_replay_exactly_also_where_they_ended_early() {
    let (model, _) = scripted_model(script()).await;
    let mut report = report(&model, config(3)).await;
    report.sessions[1].token_ids.truncate(7);
    report.sessions[1].tokens = 7;
    report.sessions[1].finish_reason = FinishReason::Cancelled;
    for session in replayable(&report) {
        assert_eq!(replay(&model, &report.config, session).await, Replay::Exact);
    }
}

#[tokio::test]
async fn the_first_token_that_differs_is_found_with_its_place_in_the_text_and_what_came_alone() {
    let (model, _) = scripted_model(script()).await;
    let mut report = report(&model, config(2)).await;
    let alone = report.sessions[1].token_ids[5];
    report.sessions[1].token_ids[5] = if alone == 100 { 101 } else { 100 };
    let session = &report.sessions[1];
    let text = |tokens: &[u32]| {
        let mut stream = TextStream::new(model.text().detokenizer(), StopMatcher::default());
        let text: String = tokens.iter().map(|id| stream.push(*id).text).collect();
        text + &stream.finish().text
    };
    let Replay::Differs { position, start, end, alone: came } = replay(&model, &report.config, session).await else {
        panic!("no difference")
    };
    assert_eq!(position, 5);
    let whole = text(&session.token_ids);
    assert!(whole[..start].len() <= text(&session.token_ids[..5]).len());
    assert!(start < end && whole.is_char_boundary(start) && whole.is_char_boundary(end));
    assert!(came.is_some());
}

#[tokio::test]
async fn an_answer_that_goes_on_alone_differs_at_its_end() {
    let (model, _) = scripted_model(script()).await;
    let mut report = report(&model, config(2)).await;
    report.sessions[0].token_ids.truncate(4);
    report.sessions[0].tokens = 4;
    let found = replay(&model, &report.config, &report.sessions[0]).await;
    let Replay::Differs { position: 4, start, end, alone: Some(_) } = found else { panic!("{found:?}") };
    assert_eq!(start, end, "no token of the text is another one");
}

#[tokio::test]
async fn a_replay_that_fails_says_why_and_a_failed_session_has_none() {
    let (model, _) = scripted_model(script()).await;
    let whole = report(&model, config(2)).await;
    let troubles = vec![(SessionId(1), Trouble::LaunchFails(3))];
    let (model, _) = scripted_model(Script { troubles, ..script() }).await;
    let found = replay(&model, &whole.config, &whole.sessions[1]).await;
    assert!(matches!(&found, Replay::Failed { error } if error.contains("session 1 can't take a step")), "{found:?}");
    let broken = report(&model, config(2)).await;
    assert_eq!(replayable(&broken).map(|session| session.id).collect::<Vec<_>>(), [SessionId(0)]);
}

#[tokio::test]
async fn every_architecture_is_isolated_bit_for_bit() {
    let models = root().join("models");
    for architecture in supported_architectures() {
        let packed = std::fs::read_dir(&models).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.split('-').next() == Some(architecture) && name.contains("bit")
        });
        let source = ModelSource::Folder(packed.unwrap());
        let model = load_model(source, EngineSettings::default(), |_| {}).await.unwrap();
        let config = ParallelConfig { max_tokens: 8, ..config(4) };
        let report = verify(&model, &config, 1, |_, _| {}).await.unwrap();
        assert_eq!(report.comparisons.len(), 4);
        assert!(report.is_equal(), "{architecture}: {:?}", report.comparisons);
        model.engine().shutdown().await;
    }
}

#[test]
fn a_schedule_is_the_same_for_the_same_seed_and_mixes_all_kinds_of_parts() {
    let parts = schedule(7, 3, 64, 30);
    assert_eq!(parts, schedule(7, 3, 64, 30));
    assert_ne!(parts, schedule(7, 4, 64, 30));
    assert_eq!(parts[0].joins_after, 0, "someone begins");
    assert!(parts.iter().any(|part| part.joins_after > 0));
    assert!(parts.iter().any(|part| part.cancels_after.is_some_and(|after| (1..=30).contains(&after))));
    assert!(parts.iter().any(|part| part.max_tokens < 30));
    assert!(parts.iter().any(|part| !part.ends_early()));
}
