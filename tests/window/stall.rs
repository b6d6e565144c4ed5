//! The stall budget and the cache limit on their way from the controls to the engine.

use super::bench::{Bench, Setting};
use crate::support::scripted::{Call, Script};
use llmeval::protocol::SessionId;
use std::time::Duration;

/// The largest chunk in which a long prompt was read while another session was giving tokens.
fn largest_chunk(bench: &Bench) -> usize {
    let calls = bench.calls();
    let begin = calls.iter().position(|call| matches!(call, Call::Launch { .. })).unwrap();
    let chunks = calls[begin..].iter().filter_map(|call| match call {
        Call::Prefill { session: SessionId(1), tokens } => Some(*tokens),
        _ => None,
    });
    chunks.max().unwrap()
}

fn run_with_budget(ms: f64) -> Bench {
    // The first session gives tokens for longer than it takes to tokenize the second one's prompt.
    let (step, prefill_token) = (Duration::from_millis(1), Duration::from_micros(200));
    let script = Script { step, prefill_token, ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.click("Parallel");
    bench.set("Sessions", 2.0);
    bench.set("Max tokens", 400.0);
    bench.set("Stall budget", ms);
    bench.type_into("Prompt of session 1", &"read ".repeat(700));
    bench.run_to_end();
    bench
}

#[test]
fn the_slider_bounds_the_chunks_of_a_prompt_that_joins_running_streams() {
    let narrow = run_with_budget(20.0);
    assert!(narrow.shows("20 ms"));
    assert_eq!(narrow.state().settings.max_stall_ms, 20);
    // 5,000 tokens a second at best: 20 ms are 100 tokens.
    let (narrow, wide) = (largest_chunk(&narrow), largest_chunk(&run_with_budget(1000.0)));
    assert!(narrow <= 100, "a chunk of {narrow} tokens");
    assert!(wide > 2 * narrow, "chunks of {narrow} and of {wide} tokens");
}

#[test]
fn the_cache_limit_reaches_the_loaded_model_without_a_run_and_the_next_one_too() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.set("Cache limit", 64.0);
    bench.wait("the new limit", |state| state.memory.figures.cache == 64_000_000);
    let mut bench = bench.reopen();
    bench.wait("the limit of another load", |state| state.memory.figures.cache == 64_000_000);
    assert!(bench.calls().is_empty());
}

#[test]
fn the_budget_is_200_ms_until_someone_moves_it_and_outlives_the_window() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    assert!(bench.shows("200 ms"));
    bench.set("Stall budget", 500.0);
    let bench = bench.reopen();
    assert_eq!(bench.state().settings.max_stall_ms, 500);
}
