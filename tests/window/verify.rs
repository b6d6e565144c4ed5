//! A finished run's sessions are replayed alone, and what differs is marked.

use super::bench::{Bench, Setting};
use crate::support::scripted::{Script, Trouble};
use llmeval::protocol::{Replay, RunReport, SessionId};
use llmeval::state::{Verification, read_report};
use std::time::Duration;

/// A leak shows only where sessions share a step.
fn slow() -> Script {
    Script { step: Duration::from_millis(1), ..Script::default() }
}

/// So slow that sessions meet though the machine is busy with other tests.
fn leaking() -> Script {
    Script { leaks_from_neighbour: true, step: Duration::from_millis(8), ..Script::default() }
}

fn finished(script: Script) -> Bench {
    let mut bench = Bench::open(Setting::script(script));
    bench.set_max_tokens(20);
    bench.run_to_end();
    bench
}

fn verify(bench: &mut Bench) {
    bench.click("Verify");
    bench.wait("the replay's end", |state| state.verification.is_none());
}

fn kept(bench: &mut Bench) -> RunReport {
    let file = bench.run_files()[0].clone();
    let read = || read_report(&std::fs::read_to_string(&file).unwrap()).unwrap();
    bench.wait_until("the file", |_| read().sessions[0].replay.is_some());
    read()
}

#[test]
fn sessions_that_give_the_same_tokens_alone_get_the_badge_exact() {
    let mut bench = finished(slow());
    assert!(!bench.shows("Session 0 is exact"));
    verify(&mut bench);
    for session in 0..3 {
        assert!(bench.shows(&format!("Session {session} is exact")));
    }
    assert!(bench.shows("3 of 3 exact"));
    assert!(bench.is_enabled("Verify"), "it can be verified again");
}

#[test]
fn the_first_differing_token_is_marked_in_the_text() {
    let mut bench = finished(leaking());
    verify(&mut bench);
    // The first row of each step is right; its neighbours get its tokens.
    assert!(bench.shows("Session 0 is exact"));
    let panel = &bench.state().run.as_ref().unwrap().panels[1];
    let Some(Replay::Differs { position, start, end, alone }) = panel.replay.clone() else { panic!("not found") };
    assert!(start < end && panel.text.get(start..end).is_some());
    assert!(alone.is_some());
    assert!(bench.shows(&format!("Session 1 differs at token {position}")));
    assert!(bench.shows(&format!("Session 1: token {position} is marked")));
    assert!(bench.shows("2 of 3 differ"));
}

#[test]
fn what_was_found_is_kept_with_the_run_and_shown_when_it_is_opened() {
    let mut bench = finished(leaking());
    verify(&mut bench);
    let found: Vec<_> = bench.state().run.as_ref().unwrap().panels.iter().map(|panel| panel.replay.clone()).collect();
    let report = kept(&mut bench);
    assert_eq!(report.sessions.iter().map(|session| session.replay.clone()).collect::<Vec<_>>(), found);
    let mut bench = bench.reopen();
    bench.wait("the runs", |state| state.recent.len() == 1);
    bench.click("Recent runs");
    let label = format!("Open the run of {}", bench.state().recent[0].ended);
    bench.click(&label);
    bench.wait("the run", |state| state.run.is_some());
    assert!(bench.shows("Session 0 is exact"));
    assert!(bench.says("Session 1 differs at token"));
    bench.click("Run session 1 again");
    bench.wait("the end", |state| !state.run_is_active());
    assert!(!bench.says("Session 1 differs"), "another answer has not been replayed");
}

#[test]
fn verifying_an_older_run_leaves_it_in_its_place_among_the_recent_ones() {
    let mut bench = finished(slow());
    let older = bench.run_files()[0].clone();
    bench.set("Sessions", 2.0);
    bench.run_to_end();
    assert_eq!(bench.state().recent[1].path, older);
    bench.drop_file(&older);
    bench.wait("the older run", |state| state.run.as_ref().is_some_and(|run| run.panels.len() == 3));
    verify(&mut bench);
    bench.wait_until("the file", |_| std::fs::read_to_string(&older).unwrap().contains("\"verdict\": \"exact\""));
    bench.settle();
    let recent = &bench.state().recent;
    assert_eq!(recent.len(), 2);
    assert_eq!(recent[1].path, older);
}

#[test]
fn a_replay_shows_how_far_it_is_and_can_be_stopped() {
    let mut bench = Bench::open(Setting::script(Script { step: Duration::from_millis(4), ..Script::default() }));
    bench.set_max_tokens(60);
    bench.run_to_end();
    bench.click("Verify");
    assert!(bench.says("Verified 0 of 3"));
    assert!(bench.shows("Session 0 is being verified"));
    assert!(bench.says("Verifying..."));
    assert!(!bench.is_enabled("Run Parallel Demo"), "the replayed session is alone");
    bench.wait(
        "the first session",
        |state| matches!(&state.verification, Some(Verification::Running { done, .. }) if *done >= 1),
    );
    bench.click("Stop");
    assert!(bench.state().verification.is_none());
    assert!(bench.shows("Session 0 is exact"), "what was found stays");
    assert!(!bench.says("Session 2 is"));
    assert!(bench.is_enabled("Run Parallel Demo"));
    assert_eq!(kept(&mut bench).sessions[2].replay, None);
}

#[test]
fn escape_stops_a_replay() {
    let mut bench = finished(Script { step: Duration::from_millis(20), ..Script::default() });
    bench.click("Verify");
    assert!(bench.state().is_verifying());
    bench.press(egui::Modifiers::NONE, egui::Key::Escape);
    assert!(!bench.state().is_verifying());
}

#[test]
fn a_session_that_cannot_be_replayed_says_why_in_its_own_panel() {
    let script = Script { troubles: vec![(SessionId(1), Trouble::LaunchFails(5))], ..slow() };
    let mut bench = finished(script);
    verify(&mut bench);
    assert!(bench.shows("Session 0 is exact"));
    assert!(!bench.says("Session 1 is"), "a failed session is not replayed");
    assert!(bench.shows("2 of 2 exact"));
}

#[test]
fn a_run_of_another_model_is_not_verified() {
    let mut setting = Setting::default();
    let file = setting.path().join("elsewhere.json");
    setting.answers = vec![Some(file.clone())];
    let mut bench = Bench::open(setting);
    bench.run_to_end();
    let mut report = bench.state().run.as_ref().unwrap().report.clone().unwrap();
    report.config.model = llmeval::protocol::ModelSource::Hub("other/model".into());
    std::fs::write(&file, serde_json::to_string(&report).unwrap()).unwrap();
    bench.click("Recent runs");
    bench.click("Open run…");
    bench.wait("the run", |state| {
        let report = state.run.as_ref().and_then(|run| run.report.as_ref());
        report.is_some_and(|report| report.config.model != llmeval::protocol::ModelSource::Starter)
    });
    assert!(!bench.is_enabled("Verify"));
    assert!(bench.state().verify_obstacle().unwrap().contains("load that model"));
    bench.click("Run session 0 again");
    assert!(bench.says("load that model first"));
    assert!(!bench.state().run_is_active());
}

#[test]
fn a_run_on_weights_of_other_bits_is_neither_verified_nor_run_again() {
    let mut setting = Setting::default();
    let file = setting.path().join("packed.json");
    setting.answers = vec![Some(file.clone())];
    let mut bench = Bench::open(setting);
    bench.run_to_end();
    let mut report = bench.state().run.as_ref().unwrap().report.clone().unwrap();
    report.packed_bits = Some(4);
    std::fs::write(&file, serde_json::to_string(&report).unwrap()).unwrap();
    bench.click("Recent runs");
    bench.click("Open run…");
    bench.wait("the run", |state| state.run.as_ref().is_some_and(|run| run.packed_bits == Some(4)));
    assert!(!bench.is_enabled("Verify"));
    bench.click("Run session 0 again");
    assert!(bench.says("with its weights packed to 4 bits, and now they are as stored"));
    assert!(!bench.state().run_is_active());
}

#[test]
fn a_mark_that_lies_outside_of_the_text_is_left_out() {
    let mut setting = Setting::default();
    let file = setting.path().join("odd.json");
    setting.answers = vec![Some(file.clone())];
    let mut bench = Bench::open(setting);
    bench.run_to_end();
    let mut report = bench.state().run.as_ref().unwrap().report.clone().unwrap();
    report.sessions[0].replay = Some(Replay::Differs { position: 3, start: 7, end: 1 << 40, alone: None });
    report.sessions[1].replay = Some(Replay::Differs { position: 3, start: 9, end: 2, alone: None });
    std::fs::write(&file, serde_json::to_string(&report).unwrap()).unwrap();
    bench.click("Recent runs");
    bench.click("Open run…");
    bench.wait("the run", |state| state.run.as_ref().is_some_and(|run| run.panels[0].replay.is_some()));
    assert!(bench.shows("Session 0 differs at token 3"));
    assert!(!bench.says("is marked"));
}
