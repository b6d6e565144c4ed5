//! Everything works without a mouse.

use super::bench::{Bench, Setting};
use crate::support::scripted::Script;
use egui::{Key, Modifiers};
use llmeval::state::{Sheet, View};
use std::time::Duration;

fn slow() -> Setting {
    Setting::script(Script { step: Duration::from_millis(2), ..Script::default() })
}

#[test]
fn return_generates_and_escape_stops() {
    let mut bench = Bench::open(slow());
    bench.press(Modifiers::NONE, Key::Enter);
    assert!(bench.state().single.is_generating());
    bench.press(Modifiers::NONE, Key::Escape);
    bench.wait("the end", |state| !state.single.is_generating());
}

#[test]
fn return_in_the_prompt_generates_and_shift_return_begins_a_line() {
    let mut bench = Bench::open(slow());
    bench.node("Prompt").focus();
    bench.settle();
    bench.press(Modifiers::SHIFT, Key::Enter);
    assert!(bench.state().settings.single.prompt.contains('\n'));
    assert!(!bench.state().single.is_generating());
    bench.press(Modifiers::NONE, Key::Enter);
    assert!(bench.state().single.is_generating());
}

#[test]
fn command_r_runs_the_parallel_demo_and_command_period_stops_it() {
    let mut bench = Bench::open(slow());
    bench.set_max_tokens(5000);
    bench.press(Modifiers::COMMAND, Key::R);
    assert!(bench.state().run_is_active());
    bench.wait("tokens", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > 2));
    bench.press(Modifiers::COMMAND, Key::Period);
    bench.wait("the end", |state| !state.run_is_active());
}

#[test]
fn command_comma_opens_the_settings_and_escape_closes_them() {
    let mut bench = Bench::open(Setting::default());
    bench.press(Modifiers::COMMAND, Key::Comma);
    assert_eq!(bench.state().sheet, Some(Sheet::Settings));
    bench.press(Modifiers::NONE, Key::Escape);
    assert_eq!(bench.state().sheet, None);
}

#[test]
fn command_plus_and_minus_zoom_and_the_zoom_is_a_setting() {
    let mut bench = Bench::open(Setting::default());
    bench.press(Modifiers::COMMAND, Key::Plus);
    assert!(bench.state().settings.zoom > 1.0);
    bench.press(Modifiers::COMMAND, Key::Minus);
    bench.press(Modifiers::COMMAND, Key::Minus);
    assert!(bench.state().settings.zoom < 1.0);
}

#[test]
fn tab_reaches_the_run_button_and_space_presses_it() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.node("Run Parallel Demo").focus();
    bench.settle();
    assert!(bench.node("Run Parallel Demo").is_focused());
    bench.press(Modifiers::NONE, Key::Space);
    assert_eq!(bench.state().settings.view, View::Parallel);
    assert!(bench.state().run.is_some());
    bench.wait("the end", |state| !state.run_is_active());
}

#[test]
fn every_control_has_a_name_for_the_screen_reader() {
    let mut bench = Bench::open(Setting::default());
    assert_eq!(bench.harness().unnamed_widgets(), Vec::<String>::new());
    for view in ["Parallel", "Settings", "Close", "Recent runs", "Close", "Keyboard shortcuts", "Close"] {
        bench.click(view);
        assert_eq!(bench.harness().unnamed_widgets(), Vec::<String>::new(), "after {view}");
    }
    bench.run_to_end();
    assert_eq!(bench.harness().unnamed_widgets(), Vec::<String>::new(), "with panels");
}
