//! The scheduling policy, on plain data.

use llmeval::engine::{EngineSettings, PrefillChunk, PrefillPace, Stage, next_prefill};
use std::time::Duration;

use Stage::{Decode, Ended, Prefill, Waiting};

fn chosen(stages: &[Stage], max_running: usize) -> Option<usize> {
    next_prefill(stages.iter().copied(), max_running, 100).map(|chunk| chunk.session)
}

#[test]
fn a_prompt_that_has_been_begun_is_read_to_its_end_first() {
    assert_eq!(chosen(&[Decode, Waiting, Prefill, Waiting], 32), Some(2));
}

#[test]
fn the_session_that_waits_longest_comes_next() {
    assert_eq!(chosen(&[Decode, Ended, Waiting, Waiting], 32), Some(2));
}

#[test]
fn nobody_leaves_the_queue_while_all_places_are_taken() {
    assert_eq!(chosen(&[Decode, Decode, Waiting], 2), None);
    assert_eq!(chosen(&[Decode, Ended, Waiting], 2), Some(2), "one that has ended has left its place");
    assert_eq!(chosen(&[Decode, Prefill, Waiting], 2), Some(1), "one that holds a place goes on");
}

#[test]
fn a_chunk_ends_with_its_budget() {
    assert_eq!(next_prefill([Waiting].into_iter(), 32, 0), None);
    assert_eq!(next_prefill([Waiting].into_iter(), 32, 7), Some(PrefillChunk { session: 0, tokens: 7 }));
}

#[test]
fn chunks_are_sized_by_the_measured_pace_so_that_streams_are_held_no_longer_than_the_stall_budget() {
    let settings = EngineSettings { max_stall: Duration::from_millis(200), ..EngineSettings::default() };
    let mut pace = PrefillPace::default();
    pace.record(512, 100, Duration::from_secs(1));
    let tokens = pace.chunk_tokens(&settings, true);
    assert!((10..=20).contains(&tokens), "{tokens} tokens at 100 tokens/s within 200 ms");
    for _ in 0..3 {
        pace.record(tokens, tokens, Duration::from_millis(tokens as u64));
        assert_eq!(pace.chunk_tokens(&settings, true), tokens, "what was slow a few chunks ago may come again");
    }
    pace.record(tokens, tokens, Duration::from_millis(tokens as u64));
    assert!((100..=200).contains(&pace.chunk_tokens(&settings, true)), "a faster device reads more at once");
}

#[test]
fn a_device_that_became_slower_is_noticed_before_the_stall_budget_is_spent() {
    let settings = EngineSettings { max_stall: Duration::from_millis(200), ..EngineSettings::default() };
    let mut pace = PrefillPace::default();
    for _ in 0..4 {
        pace.record(100, 100, Duration::from_millis(100));
    }
    let chunk = pace.chunk_tokens(&settings, true);
    let first = PrefillPace::first_piece(&settings, chunk);
    assert!(first < chunk, "{first} of {chunk}");
    let second = |pace: &PrefillPace, spent| pace.second_piece(&settings, chunk - first, Duration::from_millis(spent));
    assert_eq!(second(&pace, first as u64), chunk - first, "at the pace expected all of it is read");
    assert!(second(&pace, 100) < chunk - first, "what was lost to something else is not spent again");
    pace.record(first, first, Duration::from_millis(2 * first as u64));
    assert_eq!(second(&pace, 2 * first as u64), 0, "at half the pace nothing more fits");
}

#[test]
fn a_chunk_that_no_time_bounds_is_read_in_one_piece() {
    assert_eq!(PrefillPace::first_piece(&EngineSettings::default(), EngineSettings::default().max_chunk), 512);
}

#[test]
fn where_no_stream_runs_only_the_largest_chunk_bounds_prefill() {
    let settings = EngineSettings { max_chunk: 300, ..EngineSettings::default() };
    let mut pace = PrefillPace::default();
    pace.record(512, 100, Duration::from_secs(1));
    assert_eq!(pace.chunk_tokens(&settings, false), 300);
}

#[test]
fn a_chunk_always_reads_something() {
    let settings = EngineSettings { max_stall: Duration::ZERO, max_chunk: 0, ..EngineSettings::default() };
    assert_eq!(PrefillPace::default().chunk_tokens(&settings, true), 1);
}

#[test]
fn a_budget_below_one_pass_over_the_weights_does_not_shrink_chunks_to_single_tokens() {
    let settings = EngineSettings { max_stall: Duration::from_millis(20), ..EngineSettings::default() };
    let mut pace = PrefillPace::default();
    for _ in 0..10 {
        let tokens = pace.chunk_tokens(&settings, true);
        assert!(tokens >= 16, "{tokens} tokens");
        // However few tokens it has, a pass takes 80 ms.
        pace.record(tokens, tokens, Duration::from_millis(80));
    }
}
