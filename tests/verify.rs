//! Verification finds nothing where sessions are isolated, and finds a leak where there is one.

use crate::support::scripted::{Script, Trouble, scripted_model};
use llmeval::protocol::{Execution, ParallelConfig, SessionId};
use llmeval::session::verify::{Verdict, first_difference, schedule, verify};
use std::time::Duration;

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
async fn one_sessions_answer_is_compared_with_itself_alone() {
    let (model, _) = scripted_model(script()).await;
    let config = config(2);
    let report = verify(&model, &config, 0, |_, _| {}).await.unwrap();
    assert!(report.comparisons.is_empty());
    let difference = first_difference(&model, &config, SessionId(1), &[9, 9, 9], false).await.unwrap();
    assert_eq!(difference, Some(0));
    assert_eq!(first_difference(&model, &config, SessionId(1), &[], false).await.unwrap(), None);
    assert_eq!(first_difference(&model, &config, SessionId(1), &[], true).await.unwrap(), Some(0));
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
