//! Settings and runs outlive the window.

use super::bench::{Bench, Setting, rounded};
use crate::support::scripted::{Script, Trouble};
use llmeval::protocol::SessionId;
use llmeval::state::{Settings, ThemeChoice, View, read_report};
use std::time::Duration;

#[test]
fn every_setting_is_there_again_after_a_restart() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Thinking");
    bench.type_into("Prompt", " Tell me more.");
    bench.click("Settings");
    bench.click("Dark");
    bench.click("Close");
    bench.click("Parallel");
    bench.set("Sessions", 7.0);
    bench.set("Temperature", 1.5);
    bench.click("Temperature ladder");
    bench.type_into("Prompt of session 2", " Briefly.");
    let before = bench.state().settings.clone();
    let bench = bench.reopen();
    let after = &bench.state().settings;
    assert_eq!(*after, before);
    assert_eq!(after.theme, ThemeChoice::Dark);
    assert_eq!(after.view, View::Parallel);
    assert_eq!(after.parallel.sessions, 7);
    assert!(after.single.prompt.contains("Tell me more."));
    assert!(after.parallel.prompt(2).contains("Briefly."));
}

#[test]
fn settings_round_trip_through_their_file() {
    let mut settings = Settings::default();
    settings.parallel.sessions = 12;
    settings.zoom = 1.25;
    settings.set_prompt(5, "日本語 العربية हिन्दी 🙂".into());
    assert_eq!(Settings::parse(&settings.to_json().unwrap()), Ok(settings));
}

#[test]
fn values_outside_of_their_range_are_pulled_into_it() {
    let text = r#"{ "version": 1, "zoom": 99, "parallel": { "sessions": 4000, "temperature": -3, "top_p": 7 } }"#;
    let settings = Settings::parse(text).unwrap();
    assert_eq!(settings.zoom, 3.0);
    assert_eq!(settings.parallel.sessions, 32);
    assert_eq!(settings.parallel.temperature, 0.0);
    assert_eq!(settings.parallel.top_p, 1.0);
}

#[test]
fn runs_are_listed_after_a_restart_and_open_again() {
    let mut bench = Bench::open(Setting::default());
    bench.run_to_end();
    let report = bench.state().run.as_ref().unwrap().report.clone().unwrap();
    let mut bench = bench.reopen();
    bench.wait("the runs", |state| state.recent.len() == 1);
    bench.click("Recent runs");
    let label = format!("Open the run of {}", bench.state().recent[0].ended);
    bench.click(&label);
    bench.wait("the run", |state| state.run.is_some());
    let opened = bench.state().run.as_ref().unwrap().report.as_ref().unwrap();
    assert_eq!(rounded(opened), rounded(&report));
    assert_eq!(bench.state().run.as_ref().unwrap().totals().tokens, 300);
}

#[test]
fn a_session_that_crashes_loses_nothing_of_the_run() {
    let script = Script { troubles: vec![(SessionId(1), Trouble::LaunchPanics(5))], ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.click("Parallel");
    bench.click("Execution");
    bench.click("serialized");
    bench.run_to_end();
    let report = read_report(&std::fs::read_to_string(&bench.run_files()[0]).unwrap()).unwrap();
    let tokens: Vec<u32> = report.sessions.iter().map(|session| session.tokens).collect();
    assert_eq!((tokens[0], tokens[2]), (100, 100));
    assert!(tokens[1] >= 4 && report.sessions[1].error.is_some(), "{tokens:?}");
    assert_eq!(bench.state().recent.len(), 1);
    bench.run_to_end();
    assert_eq!(bench.run_files().len(), 2, "the window goes on");
}

#[test]
fn closing_the_window_while_sessions_run_keeps_what_they_gave() {
    let script = Script { step: Duration::from_millis(2), ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.set_max_tokens(5000);
    bench.click("Run Parallel Demo");
    bench.wait("tokens", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > 9));
    bench.close();
    let files = bench.run_files();
    assert_eq!(files.len(), 1);
    let report = read_report(&std::fs::read_to_string(&files[0]).unwrap()).unwrap();
    assert!(report.total_tokens > 9);
    assert_eq!(report.sessions.len(), 3);
}
