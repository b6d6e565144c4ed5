//! A race: the same sessions serialized and batched, each under a clock.

use super::bench::{Bench, Setting};
use crate::support::scripted::{Call, Script, Trouble};
use llmeval::protocol::{Execution, SessionId};
use llmeval::state::LegPhase;
use std::time::Duration;

/// A step costs the same whatever its width: what batching is good for.
fn slow() -> Script {
    Script { step: Duration::from_millis(4), ..Script::default() }
}

fn race(bench: &mut Bench) {
    bench.click("Parallel");
    bench.set("Sessions", 4.0);
    bench.set("Max tokens", 20.0);
    bench.click("Race");
}

#[test]
fn the_same_sessions_run_serialized_and_then_batched_with_a_clock_each() {
    let mut bench = Bench::open(Setting::script(slow()));
    race(&mut bench);
    assert!(bench.shows("Batched: –"), "the second clock waits");
    assert!(!bench.shows("Changed controls apply to the next run"));
    bench.wait("the end", |state| !state.is_racing() && !state.run_is_active());
    let state = bench.state();
    let race = state.race.clone().unwrap();
    let [serialized, batched] = race.legs;
    assert_eq!([serialized.phase, batched.phase], [LegPhase::Finished; 2]);
    assert_eq!((serialized.tokens, batched.tokens), (80, 80));
    assert!(serialized.elapsed_s > batched.elapsed_s);
    assert!(race.speed_up().unwrap() > 1.0, "{:?}", race.speed_up());
    for (name, leg) in [("Serialized", serialized), ("Batched", batched)] {
        assert!(bench.shows(&format!("{name}: {:.1} s", leg.elapsed_s)));
    }
    assert!(bench.shows(&format!("Batched is: {:.1}× as fast", race.speed_up().unwrap())));
    let recent = &bench.state().recent;
    assert_eq!(recent[0].config.execution, Execution::Batched);
    assert_eq!(recent[1].config.execution, Execution::Serialized);
    assert_eq!(recent[0].config.seed, recent[1].config.seed);
    let launches = |execution| {
        let is_of = |call: &&Call| matches!(call, Call::Launch { execution: of, .. } if *of == execution);
        bench.calls().iter().filter(is_of).count()
    };
    assert!(launches(Execution::Serialized) >= 80);
    assert!(launches(Execution::Batched) < 80);
}

#[test]
fn both_legs_read_their_prompts_anew() {
    let mut bench = Bench::open(Setting::script(Script { keeps_prompts: true, ..slow() }));
    bench.click("Parallel");
    bench.run_to_end();
    assert!(!bench.calls().contains(&Call::ForgetPrompts), "a plain run keeps what it reads");
    race(&mut bench);
    bench.wait("the end", |state| !state.is_racing() && !state.run_is_active());
    let calls = bench.calls();
    let legs = calls.split(|call| *call == Call::ForgetPrompts).skip(1);
    let read = |leg: &[Call]| -> usize {
        leg.iter().map(|call| if let Call::Prefill { tokens, .. } = call { *tokens } else { 0 }).sum()
    };
    let read: Vec<usize> = legs.map(read).collect();
    assert!(read.len() == 2 && read[0] > 0 && read[0] == read[1], "{read:?}");
}

#[test]
fn stopping_the_first_leg_ends_the_race_without_a_second_one() {
    let mut bench = Bench::open(Setting::script(slow()));
    bench.set_max_tokens(5000);
    bench.click("Race");
    bench.wait("tokens", |state| state.race.as_ref().is_some_and(|race| race.legs[0].tokens > 3));
    bench.click("Stop All");
    bench.wait("the end", |state| !state.run_is_active());
    let race = bench.state().race.clone().unwrap();
    assert_eq!([race.legs[0].phase, race.legs[1].phase], [LegPhase::Broken, LegPhase::Waiting]);
    assert_eq!(race.speed_up(), None);
    assert!(bench.says("The serialized run was stopped. The race has no result."));
    assert!(bench.is_enabled("Race"));
    assert_eq!(bench.run_files().len(), 1);
}

#[test]
fn a_session_that_fails_ends_the_race_with_its_reason() {
    let script = Script { troubles: vec![(SessionId(2), Trouble::PrefillFails)], ..slow() };
    let mut bench = Bench::open(Setting::script(script));
    race(&mut bench);
    bench.wait("the end", |state| !state.run_is_active());
    assert!(bench.says("session 2 failed: the prompt of session 2 can't be read"));
    assert!(bench.shows("Batched: –"));
}

#[test]
fn another_run_takes_the_clocks_away() {
    let mut bench = Bench::open(Setting::default());
    race(&mut bench);
    bench.wait("the end", |state| !state.is_racing() && !state.run_is_active());
    bench.run_to_end();
    assert!(bench.state().race.is_none());
    assert!(!bench.says("Batched is"));
}

#[test]
fn there_is_no_race_without_a_model_to_itself() {
    let mut setting = Setting::default();
    setting.facts.kv_bytes_per_token = 1 << 40;
    let mut bench = Bench::open(setting);
    bench.wait("the machine's memory", |state| state.machine.total > 0);
    bench.click("Parallel");
    assert!(!bench.is_enabled("Race"));
}
