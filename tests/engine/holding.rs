//! What the engine keeps from session to session, what it frees, and how many sessions it takes.

use super::{outcome, request, start, unhurried, whole_answer};
use crate::support::scripted::{Call, Gate, Log, Script};
use llmeval::engine::{EngineGone, EngineHandle, EngineSettings, SubmitError};
use llmeval::protocol::{Execution, ParallelConfig, SessionId, SessionRequest};

/// How many tokens were read of the prompt of session `id`.
fn read_of(log: &Log, id: u32) -> usize {
    let read = log.calls().into_iter().filter_map(|call| match call {
        Call::Prefill { session, tokens } if session == SessionId(id) => Some(tokens),
        _ => None,
    });
    read.sum()
}

/// A session with the prompt of session 0, run to its end.
async fn run_again(engine: &EngineHandle, id: u32) {
    let request = SessionRequest { id: SessionId(id), ..request(0, 101, 3) };
    assert_eq!(outcome(engine.submit(request.clone(), Execution::Exact).unwrap()).await, whole_answer(&request));
}

#[tokio::test]
async fn memory_figures_are_the_backends_and_the_peak_starts_anew() {
    let (engine, _) = start(Script::default(), EngineSettings::default()).await;
    outcome(engine.submit(request(0, 3, 2), Execution::Batched).unwrap()).await;
    assert_eq!(engine.memory().peak, 1_001_000);
    engine.reset_peak_memory().await.unwrap();
    assert_eq!(engine.memory().peak, 1_000_000);
}

#[tokio::test]
async fn a_new_peak_throws_no_kept_prompt_away_and_forgetting_does() {
    let (engine, log) = start(Script { keeps_prompts: true, ..Script::default() }, EngineSettings::default()).await;
    run_again(&engine, 0).await;
    assert_eq!(read_of(&log, 0), 100);
    engine.reset_peak_memory().await.unwrap();
    run_again(&engine, 1).await;
    assert_eq!(read_of(&log, 1), 0, "what was read before is read again");
    engine.forget_prompts().unwrap();
    run_again(&engine, 2).await;
    assert_eq!(read_of(&log, 2), 100);
}

#[tokio::test]
async fn prompts_are_forgotten_before_a_session_that_is_submitted_afterwards_begins() {
    let gate = Gate::default();
    let script = Script { keeps_prompts: true, gate: Some(gate.clone()), ..Script::default() };
    let (engine, log) = start(script, EngineSettings::default()).await;
    let first = engine.submit(request(0, 101, 3), Execution::Exact).unwrap();
    // The first one has read its prompt and waits at the gate, so that all of this comes between the same two turns.
    while !log.calls().contains(&Call::Prefill { session: SessionId(0), tokens: 100 }) {
        tokio::task::yield_now().await;
    }
    engine.forget_prompts().unwrap();
    let again = SessionRequest { id: SessionId(1), ..request(0, 101, 3) };
    let second = engine.submit(again, Execution::Exact).unwrap();
    gate.open();
    outcome(first).await;
    outcome(second).await;
    assert_eq!(read_of(&log, 1), 100);
}

#[tokio::test]
async fn the_memory_that_sessions_shared_is_freed_as_the_last_one_leaves() {
    let (engine, _) = start(unhurried(), EngineSettings::default()).await;
    let shared = || engine.memory().active - 1_000_000;
    let streams = [0, 1].map(|id| engine.submit(request(id, 3, 20 + 20 * id), Execution::Batched).unwrap());
    let mut streams = streams.into_iter();
    outcome(streams.next().unwrap()).await;
    assert_eq!(shared(), 50_000 + 2000, "the other one is still there");
    outcome(streams.next().unwrap()).await;
    engine.reset_peak_memory().await.unwrap();
    assert_eq!(shared(), 0);
}

#[tokio::test]
async fn the_cache_limit_is_the_loads_and_changes_without_a_session() {
    let (engine, _) = start(Script::default(), EngineSettings::default()).await;
    engine.reset_peak_memory().await.unwrap();
    assert_eq!(engine.memory().cache, ParallelConfig::default().cache_limit_mb * 1_000_000);
    let settings = EngineSettings { cache_limit: 64_000_000, ..EngineSettings::default() };
    engine.configure(settings).unwrap();
    engine.reset_peak_memory().await.unwrap();
    assert_eq!(engine.memory().cache, 64_000_000);
    let (engine, _) = start(Script::default(), settings).await;
    engine.reset_peak_memory().await.unwrap();
    assert_eq!(engine.memory().cache, 64_000_000);
}

#[tokio::test]
async fn a_session_too_many_is_refused_in_words_and_has_room_once_another_has_left() {
    let gate = Gate::default();
    let script = Script { gate: Some(gate.clone()), ..Script::default() };
    let settings = EngineSettings { max_running: 1, max_sessions: 3, ..EngineSettings::default() };
    let (engine, _) = start(script, settings).await;
    let submit = |id| engine.submit(request(id, 3, 4), Execution::Batched);
    let taken: Vec<_> = (0..3).map(|id| submit(id).unwrap()).collect();
    let refusal = submit(3).unwrap_err();
    assert_eq!(refusal, SubmitError::Full { limit: 3 });
    let words = refusal.to_string();
    assert!(words.contains("3 sessions running or waiting") && words.contains("once some have ended"), "{words}");
    // What is no session is never refused.
    for max_chunk in 1..1000 {
        engine.configure(EngineSettings { max_chunk, ..settings }).unwrap();
        engine.forget_prompts().unwrap();
    }
    gate.open();
    for (id, stream) in (0..).zip(taken) {
        assert_eq!(outcome(stream).await, whole_answer(&request(id, 3, 4)));
    }
    let next = loop {
        // The last one's place is free a moment after its reader has heard of its end.
        match submit(4) {
            Ok(stream) => break stream,
            Err(refusal) => assert_eq!(refusal, SubmitError::Full { limit: 3 }),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(outcome(next).await, whole_answer(&request(4, 3, 4)));
}

#[tokio::test]
async fn a_cancelled_session_gives_its_place_back() {
    let settings = EngineSettings { max_sessions: 1, ..EngineSettings::default() };
    let (engine, _) = start(unhurried(), settings).await;
    for id in 0..20 {
        let stream = loop {
            match engine.submit(request(id, 3, 1_000_000), Execution::Batched) {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        drop(stream);
    }
}

#[tokio::test]
async fn an_engine_that_is_gone_says_so_to_whatever_it_is_asked() {
    let (engine, _) = start(Script::default(), EngineSettings::default()).await;
    engine.shutdown().await;
    let refusal = engine.submit(request(0, 3, 3), Execution::Batched).unwrap_err();
    assert_eq!(refusal, SubmitError::Gone(EngineGone));
    assert_eq!(refusal.to_string(), "the model is no longer loaded; load it again");
    assert_eq!(engine.configure(EngineSettings::default()), Err(EngineGone));
    assert_eq!(engine.forget_prompts(), Err(EngineGone));
    assert_eq!(engine.reset_peak_memory().await, Err(EngineGone));
}
