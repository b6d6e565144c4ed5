//! Everything works without a mouse.

use super::bench::{Bench, Setting};
use crate::support::scripted::Script;
use egui::{Event, Key, Modifiers, ViewportCommand};
use llmeval::app::Ask;
use llmeval::platform::MenuCommand;
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
    bench.open_models();
    assert_eq!(bench.harness().unnamed_widgets(), Vec::<String>::new(), "in the model picker");
    bench.close_sheet();
    bench.click("Scaling");
    assert_eq!(bench.harness().unnamed_widgets(), Vec::<String>::new(), "in the scaling view");
    bench.run_to_end();
    assert_eq!(bench.harness().unnamed_widgets(), Vec::<String>::new(), "with panels");
}

#[test]
fn command_s_exports_the_finished_run_and_says_where_there_is_none() {
    let mut setting = Setting::default();
    let file = setting.path().join("run.json");
    setting.answers = vec![Some(file.clone())];
    let mut bench = Bench::open(setting);
    bench.press(Modifiers::COMMAND, Key::S);
    assert!(bench.says("There is no finished run to export yet."));
    bench.click("Dismiss the message");
    bench.run_to_end();
    bench.press(Modifiers::COMMAND, Key::S);
    bench.wait("the file", |state| !state.dialog_is_open && file.exists());
    assert!(bench.says("Saved as"));
}

#[test]
fn the_menu_bars_shortcuts_do_the_same_in_the_window() {
    let mut bench = Bench::open(Setting::default());
    let key = |command: MenuCommand| {
        let shortcut = command.shortcut().unwrap();
        assert!(!shortcut.shift);
        Key::from_name(shortcut.key).unwrap()
    };
    for (command, sheet) in [
        (MenuCommand::Settings, Sheet::Settings),
        (MenuCommand::ChooseModel, Sheet::Models),
        (MenuCommand::Shortcuts, Sheet::Shortcuts),
    ] {
        bench.press(Modifiers::COMMAND, key(command));
        assert_eq!(bench.state().sheet, Some(sheet));
        bench.close_sheet();
    }
    bench.press(Modifiers::COMMAND, key(MenuCommand::OpenRun));
    assert_eq!(bench.asked(), [Ask::OpenRun]);
    bench.press(Modifiers::COMMAND, key(MenuCommand::Generate));
    bench.wait("an answer", |state| state.single.tokens > 0);
    bench.press(Modifiers::COMMAND, key(MenuCommand::Stop));
    bench.wait("the end", |state| !state.single.is_generating());
    bench.press(Modifiers::COMMAND, key(MenuCommand::RunParallel));
    bench.wait("the run's end", |state| state.run.is_some() && !state.run_is_active());
    for command in [MenuCommand::CloseWindow, MenuCommand::Quit] {
        // Put into one frame, whose commands are looked at: the harness gives every event of its own queue another.
        let (key, modifiers) = (key(command), Modifiers::COMMAND);
        let pressed = Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers };
        bench.harness().input_mut().events.push(pressed);
        bench.step();
        assert!(bench.window_commands().contains(&ViewportCommand::Close), "{command:?}");
    }
}

#[test]
fn page_down_and_home_scroll_the_panels() {
    let mut bench = Bench::open(Setting::default().sized(900.0, 600.0));
    bench.click("Parallel");
    bench.set("Sessions", 32.0);
    bench.run_to_end();
    assert!(bench.shows("Maximise session 0"));
    bench.press(Modifiers::NONE, Key::PageDown);
    (0..60).for_each(|_| bench.step());
    assert!(!bench.shows("Maximise session 0") && bench.shows("Maximise session 4"));
    bench.press(Modifiers::NONE, Key::End);
    (0..60).for_each(|_| bench.step());
    assert!(bench.shows("Maximise session 31"));
    bench.press(Modifiers::NONE, Key::Home);
    (0..60).for_each(|_| bench.step());
    assert!(bench.shows("Maximise session 0"));
}

#[test]
fn copying_takes_the_whole_answer_where_nothing_is_selected() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    bench.node("Copy the answer").focus();
    bench.settle();
    let answer = bench.state().single.answer();
    bench.harness().event(Event::Copy);
    assert!(bench.steps_until_copied(&answer));
}

/// The names of all controls that Tab reaches until it comes round.
fn reached(bench: &mut Bench) -> Vec<String> {
    let mut reached = Vec::new();
    for _ in 0..80 {
        bench.press(Modifiers::NONE, Key::Tab);
        let focused = bench.focused();
        if reached.first() == Some(&focused) {
            break;
        }
        reached.push(focused);
    }
    reached
}

fn all_are_reached(bench: &mut Bench, controls: &[&str]) {
    let reached = reached(bench);
    for control in controls {
        assert!(reached.iter().any(|label| label == control), "{control} can't be reached: {reached:?}");
    }
}

#[test]
fn tab_goes_through_every_control_and_comes_round() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    let around =
        ["Run Parallel Demo", "Keyboard shortcuts", "Settings", "Recent runs", "Scaling", "Parallel", "Single"];
    all_are_reached(&mut bench, &around);
    let controls = [
        "Sessions",
        "Temperature",
        "Temperature ladder",
        "Max tokens",
        "Execution",
        "Stall budget",
        "Race",
        "Top-p",
        "Top-k",
        "Min-p",
        "Repetition penalty",
        "Base seed",
        "Cache limit",
        "Reset controls",
        "Prompt of session 0",
        "Prompt of session 2",
    ];
    all_are_reached(&mut bench, &controls);
}

#[test]
fn tab_goes_through_the_single_prompts_controls() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    let controls = [
        "Model: SmolLM2-135M-Instruct • 135M parameters",
        "Thinking",
        "Tools",
        "Max Tokens",
        "Temperature",
        "System prompt",
        "Plain",
        "Markdown",
        "Copy the answer",
        "Prompt",
        "Make the prompt's editor tall",
        "Generate",
        "Examples",
    ];
    all_are_reached(&mut bench, &controls);
}

#[test]
fn tab_goes_through_a_finished_runs_panels_and_the_tables_headings() {
    let mut bench = Bench::open(Setting::default());
    bench.run_to_end();
    let controls = [
        "Export",
        "Edit prompts",
        "Verify",
        "Panels",
        "Table",
        "Run session 0 again",
        "Copy session 1",
        "Maximise session 2",
    ];
    all_are_reached(&mut bench, &controls);
    bench.click("Table");
    all_are_reached(&mut bench, &["Sort by Session", "Sort by Tokens/s", "Sort by Temp."]);
}

#[test]
fn tab_goes_through_the_sweeps_controls_and_the_model_picker() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Scaling");
    let controls = ["Run serialized", "Run batched", "Run exact", "Up to sessions", "Max tokens", "Run the sweep"];
    all_are_reached(&mut bench, &controls);
    bench.open_models();
    bench.wait("the list", |state| !state.models.is_empty());
    bench.settle();
    let controls =
        ["Close", "Hub id", "Load Qwen3 1.7B", "As stored", "8 bits", "4 bits", "Open a folder…", "Open a .gguf file…"];
    all_are_reached(&mut bench, &controls);
}
