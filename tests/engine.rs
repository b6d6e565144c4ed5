//! The engine's promises, on a scripted backend.

use crate::support::scripted::{Call, Gate, Log, Script, ScriptedBackend, Trouble, scripted_answer};
use llmeval::engine::{self, EngineHandle, EngineSettings, EventStream, LoadCancel, StartError};
use llmeval::protocol::{EngineEvent, Execution, FinishReason, Sampling, SessionId, SessionRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the engine keeps, frees, and refuses to hold.
mod holding;

async fn start(script: Script, settings: EngineSettings) -> (EngineHandle, Log) {
    let log = Log::default();
    let backend_log = log.clone();
    let loader = move |_: &LoadCancel| Ok::<_, String>((ScriptedBackend::new(script, backend_log), ()));
    let (engine, ()) = engine::start(settings, loader).await.unwrap();
    (engine, log)
}

fn request(id: u32, prompt_tokens: u32, max_tokens: u32) -> SessionRequest {
    SessionRequest {
        id: SessionId(id),
        prompt: (0..prompt_tokens).map(|position| 10 + (id + position) % 200).collect(),
        sampling: Sampling::new(0.7, 1.0, 0, 0.0, 1.0, u64::from(id) * 1000).unwrap(),
        max_tokens,
        end_of_sequence: Arc::new([0]),
        hash_logits: false,
    }
}

/// A script whose steps take long enough that a stream without end outlasts a test.
fn unhurried() -> Script {
    Script { step: Duration::from_micros(200), ..Script::default() }
}

const WITHOUT_END: u32 = 1_000_000;

/// What a session gave by its end.
#[derive(Debug, PartialEq)]
struct Outcome {
    tokens: Vec<u32>,
    reason: Option<FinishReason>,
    error: Option<String>,
}

async fn outcome(mut stream: EventStream) -> Outcome {
    let mut outcome = Outcome { tokens: Vec::new(), reason: None, error: None };
    while let Some(event) = stream.next().await {
        match event {
            EngineEvent::Token { id, .. } => outcome.tokens.push(id),
            EngineEvent::Ended { reason, error, .. } => {
                outcome.reason = Some(reason);
                outcome.error = error.map(|error| error.to_string());
            }
            EngineEvent::PrefillStarted { .. } | EngineEvent::Prefilled { .. } => {}
        }
    }
    outcome
}

fn whole_answer(request: &SessionRequest) -> Outcome {
    let tokens = scripted_answer(request, Script::default().vocabulary);
    Outcome { tokens, reason: Some(FinishReason::TokenLimit), error: None }
}

/// Submits everything before the engine's first step, and runs it to its end.
async fn run_together(script: Script, requests: &[SessionRequest], execution: Execution) -> (Vec<Outcome>, Log) {
    let gate = Gate::default();
    let (engine, log) = start(Script { gate: Some(gate.clone()), ..script }, EngineSettings::default()).await;
    let streams: Vec<_> = requests.iter().map(|one| engine.submit(one.clone(), execution).unwrap()).collect();
    gate.open();
    let mut outcomes = Vec::new();
    for stream in streams {
        outcomes.push(outcome(stream).await);
    }
    (outcomes, log)
}

#[tokio::test]
async fn every_session_gets_its_own_tokens_under_every_execution() {
    let requests: Vec<_> = (0..9).map(|id| request(id, 1 + id * 7, 5 + id)).collect();
    for execution in Execution::ALL {
        let (outcomes, _) = run_together(Script::default(), &requests, execution).await;
        for (outcome, request) in outcomes.iter().zip(&requests) {
            assert_eq!(*outcome, whole_answer(request), "{execution} session {}", request.id);
        }
    }
}

#[tokio::test]
async fn batched_sessions_share_a_step_and_serialized_ones_take_turns() {
    let requests: Vec<_> = (0..3).map(|id| request(id, 4, 6)).collect();
    let widths = |log: Log| -> Vec<usize> {
        let launches = log.calls().into_iter().filter_map(|call| match call {
            Call::Launch { sessions, .. } => Some(sessions.len()),
            _ => None,
        });
        launches.collect()
    };
    let (_, batched) = run_together(Script::default(), &requests, Execution::Batched).await;
    assert!(widths(batched).contains(&3));
    let (_, serialized) = run_together(Script::default(), &requests, Execution::Serialized).await;
    assert_eq!(widths(serialized), vec![1; 18]);
}

/// The sessions of each reading of several prompts.
fn read_together(log: &Log) -> Vec<Vec<SessionId>> {
    let together = log.calls().into_iter().filter_map(|call| match call {
        Call::PrefillTogether { sessions } => Some(sessions),
        _ => None,
    });
    together.collect()
}

#[tokio::test]
async fn prompts_that_begin_differently_are_read_together() {
    let requests: Vec<_> = (0..5).map(|id| request(id, 40, 6)).collect();
    let script = Script { reads_together: true, ..Script::default() };
    let (outcomes, log) = run_together(script.clone(), &requests, Execution::Batched).await;
    for (request, outcome) in requests.iter().zip(&outcomes) {
        assert_eq!(*outcome, whole_answer(request));
    }
    assert!(!read_together(&log).is_empty());
    let (_, log) = run_together(script, &requests, Execution::Exact).await;
    assert!(read_together(&log).is_empty(), "an exact session's prompt is read alone");
}

#[tokio::test]
async fn sessions_that_start_together_take_their_first_step_together() {
    let script = Script { prefill_token: Duration::from_millis(1), ..Script::default() };
    let (engine, log) = start(script, EngineSettings::default()).await;
    let submit = |id| engine.submit(request(id, 40, 6), Execution::Batched).unwrap();
    // The later ones come while the first one's prompt is read.
    for stream in (0..4).map(submit).collect::<Vec<_>>() {
        assert_eq!(outcome(stream).await.tokens.len(), 6);
    }
    let first = log.calls().into_iter().find(|call| matches!(call, Call::Launch { .. }));
    let sessions = (0..4).map(SessionId).collect();
    assert_eq!(first, Some(Call::Launch { sessions, execution: Execution::Batched }));
}

#[tokio::test]
async fn prompts_that_begin_alike_are_read_one_after_the_other_so_that_they_can_share() {
    let one = request(0, 40, 6);
    let requests: Vec<_> = (0..4).map(|id| SessionRequest { id: SessionId(id), ..one.clone() }).collect();
    let script = Script { reads_together: true, ..Script::default() };
    let (outcomes, log) = run_together(script, &requests, Execution::Batched).await;
    assert!(outcomes.iter().all(|outcome| *outcome == whole_answer(&one)));
    assert!(read_together(&log).is_empty());
}

#[tokio::test]
async fn a_prompt_waits_until_the_one_it_shares_with_is_read_to_its_end() {
    let requests: Vec<_> = (0..3).map(|id| SessionRequest { id: SessionId(id), ..request(0, 100, 6) }).collect();
    let script = Script { reads_together: true, ..Script::default() };
    // The first one's last chunk leaves room for others.
    let settings = EngineSettings { max_chunk: 90, ..EngineSettings::default() };
    let (engine, log) = start(script, settings).await;
    let streams: Vec<_> =
        requests.into_iter().map(|request| engine.submit(request, Execution::Batched).unwrap()).collect();
    for stream in streams {
        assert_eq!(outcome(stream).await.tokens.len(), 6);
    }
    assert!(read_together(&log).is_empty());
}

#[tokio::test]
async fn prompts_whose_common_beginning_was_read_before_are_read_together() {
    let requests: Vec<_> = (0..4).map(|id| SessionRequest { id: SessionId(id), ..request(0, 40, 6) }).collect();
    let script = Script { reads_together: true, known: 30, ..Script::default() };
    let (outcomes, log) = run_together(script, &requests, Execution::Batched).await;
    assert!(outcomes.iter().all(|outcome| *outcome == whole_answer(&requests[0])));
    assert!(!read_together(&log).is_empty());
}

#[tokio::test]
async fn a_prompt_that_fails_among_others_ends_its_own_session_only() {
    let requests: Vec<_> = (0..5).map(|id| request(id, 40, 6)).collect();
    let troubles = vec![(SessionId(3), Trouble::PrefillFails)];
    let script = Script { reads_together: true, troubles, ..Script::default() };
    let (outcomes, _) = run_together(script, &requests, Execution::Batched).await;
    for (request, outcome) in requests.iter().zip(&outcomes) {
        if request.id == SessionId(3) {
            assert_eq!(outcome.error.as_deref(), Some("the prompt of session 3 can't be read"));
        } else {
            assert_eq!(*outcome, whole_answer(request));
        }
    }
}

#[tokio::test]
async fn a_step_is_launched_before_the_one_before_it_is_read() {
    let (_, log) = run_together(Script::default(), &[request(0, 4, 5)], Execution::Batched).await;
    let steps: Vec<_> =
        log.calls().into_iter().filter(|call| matches!(call, Call::Launch { .. } | Call::Read)).collect();
    let launch = Call::Launch { sessions: vec![SessionId(0)], execution: Execution::Batched };
    assert_eq!(steps[..4], [launch.clone(), launch.clone(), Call::Read, launch]);
}

#[tokio::test]
async fn a_long_prompt_never_holds_a_running_stream_longer_than_one_chunk() {
    let settings = EngineSettings { max_chunk: 64, ..EngineSettings::default() };
    let (engine, log) = start(unhurried(), settings).await;
    let mut running = engine.submit(request(0, 4, WITHOUT_END), Execution::Batched).unwrap();
    running.next().await;
    let joiner = engine.submit(request(1, 4000, 5), Execution::Batched).unwrap();
    assert_eq!(outcome(joiner).await, whole_answer(&request(1, 4000, 5)));
    drop(running);
    let mut since_launch = 0;
    let mut stream_runs = false;
    for call in log.calls() {
        match call {
            Call::Launch { sessions, .. } => {
                since_launch = 0;
                stream_runs = sessions.contains(&SessionId(0));
            }
            Call::Prefill { tokens, .. } => {
                since_launch += tokens;
                assert!(!stream_runs || since_launch <= 64, "{since_launch} prompt tokens between two steps");
            }
            Call::Open(_) | Call::Read | Call::PrefillTogether { .. } | Call::ForgetPrompts => {}
        }
    }
}

#[tokio::test]
async fn a_long_prompts_last_chunk_and_its_first_step_hold_running_streams_up_one_at_a_time() {
    let settings = EngineSettings { max_chunk: 64, ..EngineSettings::default() };
    let (engine, log) = start(unhurried(), settings).await;
    let mut running = engine.submit(request(0, 4, WITHOUT_END), Execution::Batched).unwrap();
    running.next().await;
    let joiners = [1, 2].map(|id| engine.submit(request(id, 1000, 5), Execution::Batched).unwrap());
    for (id, joiner) in (1..).zip(joiners) {
        assert_eq!(outcome(joiner).await, whole_answer(&request(id, 1000, 5)));
    }
    drop(running);
    let mut has_read = false;
    let mut stepped = Vec::new();
    for call in log.calls() {
        match call {
            Call::Launch { sessions, .. } if sessions.contains(&SessionId(0)) => {
                for session in sessions {
                    assert!(
                        stepped.contains(&session) || !has_read || session == SessionId(0),
                        "{session} joined at once"
                    );
                    stepped.push(session);
                }
                has_read = false;
            }
            Call::Prefill { .. } => has_read = true,
            Call::Launch { .. } | Call::Open(_) | Call::Read | Call::PrefillTogether { .. } | Call::ForgetPrompts => {}
        }
    }
    assert!([0, 1, 2].iter().all(|id| stepped.contains(&SessionId(*id))));
}

#[tokio::test]
async fn a_prompt_shorter_than_a_chunk_is_read_in_one_piece() {
    let (engine, log) = start(Script::default(), EngineSettings::default()).await;
    let mut streams: Vec<_> =
        (0..4).map(|id| engine.submit(request(id, 9, 2000), Execution::Batched).unwrap()).collect();
    for stream in &mut streams {
        while !matches!(stream.next().await, Some(EngineEvent::Token { .. })) {}
    }
    drop(streams);
    let prefills = log.calls().iter().filter(|call| matches!(call, Call::Prefill { .. })).count();
    assert_eq!(prefills, 4);
}

#[tokio::test]
async fn sessions_above_the_limit_wait_in_order_of_arrival() {
    let gate = Gate::default();
    let settings = EngineSettings { max_running: 2, ..EngineSettings::default() };
    let (engine, log) = start(Script { gate: Some(gate.clone()), ..Script::default() }, settings).await;
    let streams: Vec<_> =
        (0..6).map(|id| engine.submit(request(id, 3, 4 + id % 3), Execution::Batched).unwrap()).collect();
    gate.open();
    for (id, stream) in streams.into_iter().enumerate() {
        let id = id as u32;
        assert_eq!(outcome(stream).await, whole_answer(&request(id, 3, 4 + id % 3)));
    }
    let opened: Vec<_> = log.calls().into_iter().filter(|call| matches!(call, Call::Open(_))).collect();
    assert_eq!(opened, (0..6).map(|id| Call::Open(SessionId(id))).collect::<Vec<_>>());
    for call in log.calls() {
        if let Call::Launch { sessions, .. } = call {
            assert!(sessions.len() <= 2);
        }
    }
}

#[tokio::test]
async fn end_of_sequence_ends_the_session_and_is_not_handed_out() {
    let mut request = request(0, 5, 10);
    let answer = scripted_answer(&request, Script::default().vocabulary);
    let end = answer[3];
    let first = answer.iter().position(|id| *id == end).unwrap();
    request.end_of_sequence = Arc::new([0, end]);
    let (outcomes, _) = run_together(Script::default(), &[request], Execution::Batched).await;
    assert_eq!(outcomes[0].reason, Some(FinishReason::EndOfSequence));
    assert_eq!(outcomes[0].tokens, answer[..first]);
}

#[tokio::test]
async fn the_context_limit_ends_only_the_session_that_reaches_it() {
    let script = Script { context_length: 20, ..Script::default() };
    let requests = [request(0, 15, 100), request(1, 4, 10)];
    let (outcomes, _) = run_together(script, &requests, Execution::Batched).await;
    assert_eq!(outcomes[0].reason, Some(FinishReason::ContextLimit));
    assert_eq!(outcomes[0].tokens.len(), 5, "prompt and answer fill the context");
    assert_eq!(outcomes[1], whole_answer(&requests[1]));
}

#[tokio::test]
async fn a_prompt_that_fills_the_context_or_is_empty_fails_in_words() {
    let script = Script { context_length: 20, ..Script::default() };
    let requests = [request(0, 20, 5), request(1, 0, 5), request(2, 19, 5)];
    let (outcomes, _) = run_together(script, &requests, Execution::Batched).await;
    assert_eq!(outcomes[0].reason, Some(FinishReason::Error));
    assert!(outcomes[0].error.as_ref().unwrap().contains("context of 20 tokens"));
    assert!(outcomes[1].error.as_ref().unwrap().contains("empty"));
    assert_eq!(outcomes[2].reason, Some(FinishReason::ContextLimit));
}

#[tokio::test]
async fn a_failing_session_ends_alone() {
    for trouble in [Trouble::OpenFails, Trouble::PrefillFails, Trouble::LaunchFails(0), Trouble::LaunchFails(3)] {
        for execution in Execution::ALL {
            let script = Script { troubles: vec![(SessionId(1), trouble)], ..Script::default() };
            let requests: Vec<_> = (0..4).map(|id| request(id, 6, 8)).collect();
            let (outcomes, _) = run_together(script, &requests, execution).await;
            for (outcome, request) in outcomes.iter().zip(&requests) {
                if request.id == SessionId(1) {
                    assert_eq!(outcome.reason, Some(FinishReason::Error), "{trouble:?}");
                    assert!(outcome.error.as_ref().unwrap().contains("session 1"), "{outcome:?}");
                } else {
                    assert_eq!(*outcome, whole_answer(request), "{trouble:?} beside session {}", request.id);
                }
            }
        }
    }
}

#[tokio::test]
async fn tokens_from_before_a_failure_are_kept() {
    let script = Script { troubles: vec![(SessionId(0), Trouble::LaunchFails(3))], ..Script::default() };
    let (outcomes, _) = run_together(script, &[request(0, 6, 8)], Execution::Batched).await;
    assert_eq!(outcomes[0].tokens.len(), 3, "also the token whose step was in flight when the next launch failed");
}

#[tokio::test]
async fn a_step_that_cannot_be_read_ends_its_sessions_and_the_engine_goes_on() {
    let (engine, _) = start(
        Script { troubles: vec![(SessionId(0), Trouble::ReadFails(2))], ..Script::default() },
        EngineSettings::default(),
    )
    .await;
    let broken = outcome(engine.submit(request(0, 6, 8), Execution::Batched).unwrap()).await;
    assert_eq!(broken.error.as_deref(), Some("the step got lost"));
    let next = outcome(engine.submit(request(1, 6, 8), Execution::Batched).unwrap()).await;
    assert_eq!(next, whole_answer(&request(1, 6, 8)));
}

#[tokio::test]
async fn a_panic_in_a_step_ends_its_sessions_in_words_and_the_engine_goes_on() {
    let script = Script { troubles: vec![(SessionId(1), Trouble::LaunchPanics(2))], ..Script::default() };
    let gate = Gate::default();
    let (engine, _) = start(Script { gate: Some(gate.clone()), ..script }, EngineSettings::default()).await;
    let panicking = engine.submit(request(1, 6, 8), Execution::Batched).unwrap();
    let beside = engine.submit(request(2, 6, 8), Execution::Serialized).unwrap();
    gate.open();
    let panicked = outcome(panicking).await;
    assert_eq!(panicked.reason, Some(FinishReason::Error));
    let words = panicked.error.unwrap();
    assert!(words.contains("scripted panic") && words.contains("load the model again"), "{words}");
    assert_eq!(outcome(beside).await, whole_answer(&request(2, 6, 8)));
    let next = outcome(engine.submit(request(3, 6, 8), Execution::Batched).unwrap()).await;
    assert_eq!(next, whole_answer(&request(3, 6, 8)));
}

#[tokio::test]
async fn dropping_a_stream_cancels_in_the_queue_in_prefill_and_in_decode() {
    let script = Script { prefill_token: Duration::from_millis(1), ..unhurried() };
    let settings = EngineSettings { max_running: 2, max_chunk: 8, ..EngineSettings::default() };
    let (engine, log) = start(script, settings).await;
    let mut decoding = engine.submit(request(0, 3, WITHOUT_END), Execution::Batched).unwrap();
    while !matches!(decoding.next().await, Some(EngineEvent::Token { .. })) {}
    let mut prefilling = engine.submit(request(1, 4000, 100), Execution::Batched).unwrap();
    while !matches!(prefilling.next().await, Some(EngineEvent::Prefilled { .. })) {}
    let queued = engine.submit(request(2, 3, 100), Execution::Batched).unwrap();
    drop(queued);
    drop(prefilling);
    let last = engine.submit(request(3, 3, 5), Execution::Batched).unwrap();
    assert_eq!(outcome(last).await, whole_answer(&request(3, 3, 5)));
    drop(decoding);
    let alone = outcome(engine.submit(request(4, 3, 5), Execution::Batched).unwrap()).await;
    assert_eq!(alone, whole_answer(&request(4, 3, 5)));
    let calls = log.calls();
    assert!(!calls.contains(&Call::Open(SessionId(2))), "a session cancelled in the queue never gets a row");
    let read: usize = calls
        .iter()
        .map(|call| match call {
            Call::Prefill { session: SessionId(1), tokens } => *tokens,
            _ => 0,
        })
        .sum();
    assert!(read < 3999, "the prompt of a cancelled session is not read to its end");
}

#[tokio::test]
async fn a_closed_stream_still_gives_the_tokens_that_came_before() {
    let (engine, _) = start(unhurried(), EngineSettings::default()).await;
    let mut stream = engine.submit(request(0, 3, 50), Execution::Batched).unwrap();
    while !matches!(stream.next().await, Some(EngineEvent::Token { .. })) {}
    stream.close();
    let rest = outcome(stream).await;
    let answer = scripted_answer(&request(0, 3, 50), Script::default().vocabulary);
    assert_eq!(rest.tokens, answer[1..=rest.tokens.len()]);
}

#[tokio::test]
async fn a_joiner_after_a_leaver_gets_its_own_sampling() {
    let (engine, _) = start(Script::default(), EngineSettings::default()).await;
    let stays = engine.submit(request(0, 3, 400), Execution::Batched).unwrap();
    let mut joiners = Vec::new();
    for id in 1..40 {
        let leaver = engine.submit(request(100 + id, 3, 300), Execution::Batched).unwrap();
        drop(leaver);
        joiners.push((id, engine.submit(request(id, 3, 4), Execution::Batched).unwrap()));
    }
    for (id, joiner) in joiners {
        assert_eq!(outcome(joiner).await, whole_answer(&request(id, 3, 4)));
    }
    assert_eq!(outcome(stays).await, whole_answer(&request(0, 3, 400)));
}

#[tokio::test]
async fn a_stalled_reader_holds_nobody_up_and_loses_nothing() {
    let (engine, _) = start(Script::default(), EngineSettings::default()).await;
    let stalled = engine.submit(request(0, 700, 3000), Execution::Batched).unwrap();
    let reads = engine.submit(request(1, 3, 3000), Execution::Batched).unwrap();
    assert_eq!(outcome(reads).await, whole_answer(&request(1, 3, 3000)));
    assert_eq!(outcome(stalled).await, whole_answer(&request(0, 700, 3000)));
}

#[tokio::test]
async fn a_thousand_sessions_all_end() {
    let requests: Vec<_> = (0..1000).map(|id| request(id, 1 + id % 50, 1 + id % 9)).collect();
    let (outcomes, _) = run_together(Script::default(), &requests, Execution::Batched).await;
    for (outcome, request) in outcomes.iter().zip(&requests) {
        assert_eq!(*outcome, whole_answer(request));
    }
}

#[tokio::test]
async fn a_failed_load_is_reported_and_so_is_a_panic_in_it() {
    let failed = engine::start(EngineSettings::default(), |_| {
        Err::<(ScriptedBackend, ()), _>("config.json is missing".to_owned())
    });
    assert!(matches!(failed.await, Err(StartError::Load(words)) if words == "config.json is missing"));
    let panicked = engine::start(EngineSettings::default(), |_| -> Result<(ScriptedBackend, ()), String> {
        panic!("scripted panic")
    });
    assert!(matches!(panicked.await, Err(StartError::Panicked(words)) if words == "scripted panic"));
}

#[tokio::test]
async fn dropping_a_load_cancels_it_and_waits_for_its_end() {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let loader_ended = Arc::clone(&ended);
    let load = engine::start(EngineSettings::default(), move |cancel: &LoadCancel| {
        begun.send(()).unwrap();
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        loader_ended.store(true, Ordering::SeqCst);
        Err::<(ScriptedBackend, ()), _>("cancelled")
    });
    tokio::select! {
        _ = load => panic!("a cancelled load has no outcome"),
        _ = has_begun => {}
    }
    assert!(ended.load(Ordering::SeqCst));
}

#[tokio::test]
async fn shutdown_ends_every_session_as_cancelled_and_refuses_new_ones() {
    let (engine, _) = start(unhurried(), EngineSettings::default()).await;
    let mut running = engine.submit(request(0, 3, WITHOUT_END), Execution::Batched).unwrap();
    running.next().await;
    engine.shutdown().await;
    assert_eq!(outcome(running).await.reason, Some(FinishReason::Cancelled));
    assert!(engine.submit(request(1, 3, 3), Execution::Batched).is_err());
}

#[tokio::test]
async fn a_session_that_may_give_nothing_ends_at_once() {
    let (outcomes, log) = run_together(Script::default(), &[request(0, 3, 0)], Execution::Batched).await;
    assert_eq!(outcomes, [Outcome { tokens: Vec::new(), reason: Some(FinishReason::TokenLimit), error: None }]);
    assert!(log.calls().is_empty());
}

#[tokio::test]
async fn where_the_backend_does_not_look_ahead_a_step_is_read_before_the_next_one_is_launched() {
    let script = Script { looks_ahead: false, ..Script::default() };
    let (outcomes, log) = run_together(script, &[request(0, 4, 5), request(1, 9, 7)], Execution::Batched).await;
    assert_eq!(outcomes, [whole_answer(&request(0, 4, 5)), whole_answer(&request(1, 9, 7))]);
    let steps = log.calls().into_iter().filter(|call| matches!(call, Call::Launch { .. } | Call::Read));
    let kinds: Vec<bool> = steps.map(|call| call == Call::Read).collect();
    assert_eq!(kinds, [false, true].repeat(7));
}

#[tokio::test]
async fn running_sessions_finish_after_the_last_handle_is_gone() {
    let (engine, _) = start(Script::default(), EngineSettings::default()).await;
    let stream = engine.submit(request(0, 3, 200), Execution::Batched).unwrap();
    drop(engine);
    assert_eq!(outcome(stream).await, whole_answer(&request(0, 3, 200)));
}

#[tokio::test]
async fn prefill_is_reported_up_to_the_whole_prompt() {
    let settings = EngineSettings { max_chunk: 4, ..EngineSettings::default() };
    let (engine, _) = start(Script::default(), settings).await;
    let mut stream = engine.submit(request(0, 11, 1), Execution::Batched).unwrap();
    let mut done_so_far = Vec::new();
    while let Some(event) = stream.next().await {
        if let EngineEvent::Prefilled { done, total } = event {
            assert_eq!(total, 11);
            done_so_far.push(done);
        }
    }
    assert_eq!(done_so_far, [4, 8, 11]);
}
