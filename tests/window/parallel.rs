//! The parallel run: controls, panels, figures, table, exports.

use super::bench::{Bench, Setting, rounded};
use crate::support::scripted::{Gate, Script, Trouble};
use llmeval::app::Ask;
use llmeval::protocol::{FinishReason, RunReport, SessionId, SessionState};
use std::time::Duration;

fn slow() -> Script {
    Script { step: Duration::from_millis(2), ..Script::default() }
}

#[test]
fn the_button_starts_as_many_panels_as_the_slider_says_and_all_finish() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.set("Sessions", 4.0);
    bench.run_to_end();
    let run = bench.state().run.as_ref().unwrap();
    assert_eq!(run.panels.len(), 4);
    for (index, panel) in run.panels.iter().enumerate() {
        assert_eq!(panel.state, SessionState::Done);
        assert_eq!(panel.tokens, 100);
        assert_eq!(panel.finish, Some(FinishReason::TokenLimit));
        assert_eq!(panel.seed, 1000 * index as u64);
        assert!(!panel.text.is_empty());
    }
    assert_eq!(bench.run_files().len(), 1, "the run is kept as it ends");
}

#[test]
fn the_button_reads_stop_all_while_the_run_is_on_and_stops_every_session() {
    let mut bench = Bench::open(Setting::script(slow()));
    bench.click("Parallel");
    bench.set("Max tokens", 5000.0);
    bench.click("Run Parallel Demo");
    assert!(!bench.shows("Run Parallel Demo"));
    bench.wait("text", |state| state.run.as_ref().is_some_and(|run| run.panels.iter().all(|panel| panel.tokens > 2)));
    bench.click("Stop All");
    bench.wait("the end", |state| !state.run_is_active());
    let run = bench.state().run.as_ref().unwrap();
    assert!(run.panels.iter().all(|panel| panel.state == SessionState::Stopped));
    assert!(run.panels.iter().all(|panel| panel.tokens > 2 && panel.tokens < 5000));
    assert!(bench.shows("Run Parallel Demo"));
    assert_eq!(bench.run_files().len(), 1, "a stopped run is kept too");
}

#[test]
fn the_header_always_sums_up_the_panels() {
    let mut bench = Bench::open(Setting::script(slow()));
    bench.click("Parallel");
    bench.set("Sessions", 8.0);
    bench.click("Run Parallel Demo");
    while bench.state().run_is_active() {
        bench.step();
        let run = bench.state().run.as_ref().unwrap();
        let totals = run.totals();
        assert_eq!(totals.tokens, run.panels.iter().map(|panel| u64::from(panel.tokens)).sum::<u64>());
        assert_eq!(totals.states.iter().sum::<usize>(), 8);
        std::thread::sleep(Duration::from_millis(1));
    }
    bench.settle();
    let run = bench.state().run.as_ref().unwrap();
    let report = run.report.as_ref().unwrap();
    assert_eq!(report.total_tokens, run.totals().tokens);
    assert_eq!(report.wall_time_s, run.elapsed_s);
    assert!((report.tokens_per_second - run.totals().tokens_per_second).abs() < 1e-9);
    assert!((report.average_tokens_per_second - run.totals().average_tokens_per_second).abs() < 1e-9);
    assert!(bench.shows("Total tokens: 800"));
}

#[test]
fn thirty_two_panels_fit_the_smallest_window_by_scrolling() {
    let mut bench = Bench::open(Setting::default().sized(900.0, 600.0));
    bench.click("Parallel");
    bench.set("Sessions", 32.0);
    bench.run_to_end();
    assert_eq!(bench.state().run.as_ref().unwrap().totals().tokens, 3200);
    assert!(bench.shows("Maximise session 0"));
    assert!(!bench.shows("Maximise session 31"), "panels off screen are not laid out");
}

#[test]
fn one_session_is_stopped_by_its_own_button_and_the_others_go_on() {
    let gate = Gate::default();
    let mut bench = Bench::open(Setting::script(Script { gate: Some(gate.clone()), ..Script::default() }));
    bench.click("Parallel");
    bench.click("Run Parallel Demo");
    bench.wait("panels", |state| state.run.is_some());
    bench.click("Stop session 1");
    gate.open();
    bench.wait("the end", |state| !state.run_is_active());
    let states: Vec<_> = bench.state().run.as_ref().unwrap().panels.iter().map(|panel| panel.state).collect();
    assert_eq!(states, [SessionState::Done, SessionState::Stopped, SessionState::Done]);
}

#[test]
fn a_failed_session_shows_its_error_in_its_own_panel_only() {
    let script = Script { troubles: vec![(SessionId(1), Trouble::PrefillFails)], ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.click("Parallel");
    bench.run_to_end();
    let states: Vec<_> = bench.state().run.as_ref().unwrap().panels.iter().map(|panel| panel.state).collect();
    assert_eq!(states, [SessionState::Done, SessionState::Failed, SessionState::Done]);
    assert!(bench.says("the prompt of session 1 can't be read"));
}

#[test]
fn a_session_runs_again_with_its_seed_and_the_header_still_reconciles() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.run_to_end();
    let before = bench.state().run.clone().unwrap();
    bench.click("Run session 2 again");
    bench.wait("the end", |state| !state.run_is_active());
    let after = bench.state().run.as_ref().unwrap();
    assert_eq!(after.panels[2].seed, before.panels[2].seed);
    assert_eq!(after.panels[2].text, before.panels[2].text, "the same seed gives the same text");
    let report = after.report.as_ref().unwrap();
    assert!(report.wall_time_s > before.report.as_ref().unwrap().wall_time_s);
    assert_eq!(report.total_tokens, after.totals().tokens);
    assert_eq!(report.sessions[2].id, SessionId(2));
}

#[test]
fn a_panel_is_maximised_and_brought_back() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.run_to_end();
    bench.click("Maximise session 1");
    assert!(bench.shows("Back from session 1"));
    assert!(!bench.shows("Maximise session 0"));
    bench.click("Back from session 1");
    assert!(bench.shows("Maximise session 0"));
}

#[test]
fn a_panel_sticks_to_the_bottom_while_text_comes_and_stays_where_someone_scrolled_to() {
    let script = Script { step: Duration::from_millis(1), ..Script::default() };
    let mut bench = Bench::open(Setting::script(script).sized(720.0, 480.0));
    bench.click("Parallel");
    bench.set("Sessions", 1.0);
    bench.set("Max tokens", 20_000.0);
    bench.click("Run Parallel Demo");
    bench.click("Maximise session 0");
    let after = |bench: &mut Bench, tokens: u64| {
        bench.wait("text", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > tokens));
        let text = bench.state().run.as_ref().unwrap().panels[0].text.clone();
        bench.node(&text).rect()
    };
    let (full, fuller) = (after(&mut bench, 400), after(&mut bench, 1000));
    let growth = fuller.height() - full.height();
    assert!(growth > 150.0, "{full} {fuller}");
    assert!((fuller.bottom() - full.bottom()).abs() < 1.0, "it sticks to the bottom: {full} {fuller}");
    bench.press(egui::Modifiers::NONE, egui::Key::Home);
    (0..8).for_each(|_| bench.step());
    let scrolled = after(&mut bench, 1200);
    let later = after(&mut bench, 1800);
    assert!(later.height() > scrolled.height() + 150.0);
    assert!((later.top() - scrolled.top()).abs() < 1.0, "it stays where it is: {scrolled} {later}");
    assert!(later.top() > fuller.top() + 150.0, "it was scrolled: {fuller} {later}");
    bench.click("Stop All");
    bench.wait("the end", |state| !state.run_is_active());
}

#[test]
fn a_panels_prompt_is_edited_before_the_run() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.type_into("Prompt of session 1", " Be brief.");
    bench.run_to_end();
    let run = bench.state().run.as_ref().unwrap();
    assert!(run.panels[1].prompt.contains("Be brief."));
    assert!(!run.panels[0].prompt.contains("Be brief."));
    bench.click("Edit prompts");
    assert!(bench.shows("Prompt of session 1"));
}

#[test]
fn the_ladder_spreads_the_temperature_from_zero_to_the_sliders_value() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.set("Temperature", 1.0);
    bench.click("Temperature ladder");
    bench.run_to_end();
    let temperatures: Vec<_> =
        bench.state().run.as_ref().unwrap().panels.iter().map(|panel| panel.temperature).collect();
    assert_eq!(temperatures, [0.0, 0.5, 1.0]);
}

#[test]
fn a_control_moved_during_a_run_applies_to_the_next_one_and_the_window_says_so() {
    let mut bench = Bench::open(Setting::script(slow()));
    bench.click("Parallel");
    bench.set("Max tokens", 5000.0);
    bench.click("Run Parallel Demo");
    bench.wait("text", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > 3));
    assert!(!bench.shows("Changed controls apply to the next run"));
    bench.set("Sessions", 5.0);
    assert!(bench.shows("Changed controls apply to the next run"));
    assert_eq!(bench.state().run.as_ref().unwrap().panels.len(), 3);
    bench.click("Stop All");
    bench.wait("the end", |state| !state.run_is_active());
}

#[test]
fn a_run_that_cannot_fit_is_refused_with_the_numbers() {
    let mut setting = Setting::default();
    setting.facts.kv_bytes_per_token = 1 << 40;
    let mut bench = Bench::open(setting);
    bench.wait("the machine's memory", |state| state.machine.total > 0);
    bench.click("Parallel");
    assert!(!bench.is_enabled("Run Parallel Demo"));
    assert!(bench.says("This run needs"));
    assert!(bench.says("KV caches"));
}

#[test]
fn the_table_sorts_by_every_column_and_shows_the_average() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.run_to_end();
    bench.click("Table");
    assert!(bench.says("Average performance:"));
    for column in ["Finish", "Tokens", "Tokens/s", "First token", "Duration", "Prompt", "Seed", "Temp.", "Session"] {
        bench.click(&format!("Sort by {column}"));
    }
    bench.click("Sort by Session");
    assert!(bench.state().result_order.is_descending);
    bench.click("Panels");
    assert!(bench.shows("Maximise session 0"));
}

#[test]
fn exports_go_where_the_dialog_says_and_json_opens_again() {
    let mut setting = Setting::default();
    let folder = setting.path().to_owned();
    let files = ["run.md", "run.json", "run.csv"].map(|name| folder.join(name));
    setting.answers = files.iter().cloned().map(Some).chain([Some(files[1].clone())]).collect();
    let mut bench = Bench::open(setting);
    bench.click("Parallel");
    bench.run_to_end();
    for (format, file) in ["Markdown…", "JSON…", "CSV…"].into_iter().zip(&files) {
        bench.click("Export");
        bench.click(format);
        bench.wait("the file", |state| !state.dialog_is_open && file.exists());
    }
    let shown = bench.state().run.as_ref().unwrap().report.clone().unwrap();
    let exported: RunReport = serde_json::from_str(&std::fs::read_to_string(&files[1]).unwrap()).unwrap();
    assert_eq!(rounded(&exported), rounded(&shown));
    assert_eq!(std::fs::read_to_string(&files[2]).unwrap().lines().next().unwrap().split(',').count(), 12);
    assert!(std::fs::read_to_string(&files[0]).unwrap().contains("| 2 | token limit | 100 |"));
    let names: Vec<_> = bench.asked().into_iter().map(|ask| matches!(ask, Ask::SaveRun { .. })).collect();
    assert_eq!(names, [true, true, true]);
    bench.click("Edit prompts");
    assert!(bench.state().run.is_none());
    bench.click("Recent runs");
    bench.click("Open run…");
    bench.wait("the run", |state| state.run.is_some());
    let opened = bench.state().run.as_ref().unwrap().report.as_ref().unwrap();
    assert_eq!(rounded(opened), rounded(&shown));
}

#[test]
fn a_speed_up_is_shown_against_the_last_serialized_run_of_the_same_settings() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.click("Execution");
    bench.click("serialized");
    bench.run_to_end();
    let recent = bench.state().recent.clone();
    assert_eq!(bench.state().run.as_ref().unwrap().speed_up(&recent), None);
    bench.click("Execution");
    bench.click("batched");
    bench.run_to_end();
    let recent = bench.state().recent.clone();
    let run = bench.state().run.as_ref().unwrap();
    let expected = run.totals().tokens_per_second / recent[1].tokens_per_second;
    assert_eq!(run.speed_up(&recent), Some(expected));
}

#[test]
fn the_window_is_resized_while_a_run_is_on_and_every_size_shows_it() {
    let mut bench = Bench::open(Setting::script(slow()));
    bench.click("Parallel");
    bench.set("Sessions", 8.0);
    bench.set("Max tokens", 5000.0);
    bench.click("Run Parallel Demo");
    bench.wait("text", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > 8));
    for (width, height, last) in [(720.0, 480.0, 0), (900.0, 600.0, 0), (2560.0, 1440.0, 7), (1280.0, 800.0, 7)] {
        bench.harness().set_size(egui::vec2(width, height));
        bench.settle();
        assert!(bench.shows("Maximise session 0") && bench.shows(&format!("Maximise session {last}")));
        let button = bench.node("Stop All").rect();
        assert!(button.right() <= width && button.left() >= 0.0, "{button:?} in a window of {width} points");
        for words in ["Speed-up: –", "Maximise session 0", "Progress of session 0"] {
            let rect = bench.node(words).rect();
            assert!(rect.right() <= width, "{words} at {rect} in a window of {width} points");
        }
    }
    bench.click("Stop All");
    bench.wait("the end", |state| !state.run_is_active());
}
