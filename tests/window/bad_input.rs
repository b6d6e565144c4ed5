//! What was pasted, dropped, typed or stored wrong is said in place, and nothing is lost.

use super::bench::{Bench, LoadScript, Setting, text_model};
use crate::support::scripted::Script;
use egui::Event;
use llmeval::protocol::SessionState;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_prompt_of_one_megabyte_is_held_without_being_laid_out() {
    let mut bench = Bench::open(Setting::default());
    bench.node("Prompt").focus();
    bench.settle();
    let text = "word ".repeat(200_000);
    bench.harness().event(Event::Paste(text.clone()));
    let begin = Instant::now();
    bench.settle();
    assert!(begin.elapsed() < Duration::from_secs(5), "the window hangs");
    assert_eq!(bench.state().settings.single.prompt.len(), text.len());
    assert!(bench.shows("A prompt of 1.0 MB"));
    bench.click("Clear the prompt");
    assert_eq!(bench.state().settings.single.prompt, "");
    assert!(bench.shows("Prompt"));
}

#[test]
fn a_megabyte_pasted_into_a_panels_prompt_is_held_too() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Parallel");
    bench.node("Prompt of session 1").focus();
    bench.settle();
    let text = "word ".repeat(200_000);
    bench.harness().event(Event::Paste(text.clone()));
    let begin = Instant::now();
    bench.settle();
    assert!(begin.elapsed() < Duration::from_secs(5), "the window hangs");
    assert_eq!(bench.state().settings.parallel.prompt(1), text);
    assert_ne!(bench.state().settings.parallel.prompt(0), text);
    assert!(bench.shows("A prompt of 1.0 MB"));
}

#[test]
fn right_to_left_answers_are_drawn_and_kept_in_the_order_of_their_letters() {
    let words = "שלום עולם (12) MLX.\nabc שתים";
    let answer = text_model().encode_raw(words).unwrap();
    let mut bench = Bench::open(Setting::script(Script { answers: vec![answer], ..Script::default() }));
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    assert_eq!(bench.state().single.answer(), words);
    assert!(bench.says("שלום עולם"));
}

#[test]
fn a_right_to_left_answer_in_markdown_has_headings_and_bullets_and_no_marks() {
    let words = "# שלום\n\n- עולם **אחת**\n\nplain **bold** words";
    let answer = text_model().encode_raw(words).unwrap();
    let mut bench = Bench::open(Setting::script(Script { answers: vec![answer], ..Script::default() }));
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    assert!(bench.shows("שלום") && bench.shows("• עולם אחת"));
    assert!(!bench.says("**"));
    bench.click("Plain");
    assert!(bench.says("- עולם **אחת**"));
}

#[test]
fn a_right_to_left_prompt_is_shown_below_its_editor_as_it_is_read() {
    let mut bench = Bench::open(Setting::default());
    let text = "שלום עולם";
    for (view, editor) in [("Single", "Prompt"), ("Single", "System prompt"), ("Parallel", "Prompt of session 1")] {
        bench.click(view);
        assert!(!bench.says(text), "{editor}");
        bench.type_into(editor, text);
        assert!(bench.says(text), "{editor}");
        bench.press(egui::Modifiers::COMMAND, egui::Key::A);
        bench.press(egui::Modifiers::NONE, egui::Key::Delete);
    }
}

#[test]
fn ten_thousand_characters_without_a_space_wrap_within_their_panel() {
    let mut bench = Bench::open(Setting::default());
    let prompt = "x".repeat(10_000);
    bench.node("Prompt").focus();
    bench.settle();
    bench.harness().event(Event::Paste(prompt));
    bench.settle();
    assert!(bench.state().settings.single.prompt.len() >= 10_000);
    let width = bench.node("Prompt").rect().width();
    assert!(width < 1280.0, "the editor is {width} points wide");
}

#[test]
fn ten_thousand_characters_without_a_space_wrap_in_an_answer_too() {
    let answer = text_model().encode_raw(&"x".repeat(10_000)).unwrap();
    let mut bench = Bench::open(Setting::script(Script { answers: vec![answer; 3], ..Script::default() }));
    bench.set_max_tokens(20_000);
    bench.run_to_end();
    let text = bench.state().run.as_ref().unwrap().panels[0].text.clone();
    assert_eq!(text.len(), 10_000);
    let width = bench.node(&text).rect().width();
    assert!(width < 400.0, "the text is {width} points wide");
}

#[test]
fn right_to_left_and_zero_width_text_is_kept_as_it_is() {
    let mut bench = Bench::open(Setting::default());
    let text = "مرحبا \u{200b}\u{200d}\u{feff} שלום 👩‍👩‍👧";
    bench.click("Parallel");
    bench.type_into("Prompt of session 0", text);
    bench.run_to_end();
    assert!(bench.state().run.as_ref().unwrap().panels[0].prompt.contains(text));
}

#[test]
fn a_dropped_file_that_is_no_model_is_named_and_nothing_is_unloaded() {
    let mut bench = Bench::open(Setting::default());
    let file = bench.folder().join("holiday.jpeg");
    fs::write(&file, "not a model").unwrap();
    bench.drop_file(&file);
    bench.wait("the message", |state| !state.notices.is_empty());
    assert!(bench.says("holiday.jpeg is no model"));
    assert!(bench.state().model.loaded().is_some());
    bench.click("Dismiss the message");
    assert!(!bench.says("holiday.jpeg is no model"));
}

#[test]
fn a_dropped_folder_or_gguf_that_is_no_model_unloads_nothing() {
    let mut bench = Bench::open(Setting::default());
    let folder = bench.folder().join("holidays");
    fs::create_dir(&folder).unwrap();
    let file = bench.folder().join("renamed.gguf");
    fs::write(&file, "PK not a model").unwrap();
    for (path, words) in [(folder, "The folder holidays is no model"), (file, "renamed.gguf is no model")] {
        bench.drop_file(&path);
        bench.wait("the message", |state| !state.notices.is_empty());
        assert!(bench.says(words));
        assert!(bench.state().model.loaded().is_some());
        bench.click("Dismiss the message");
    }
    assert_eq!(bench.sources().len(), 1);
}

#[test]
fn a_hub_id_that_does_not_exist_is_said_and_the_starter_can_be_chosen_again() {
    let loads = vec![
        LoadScript::Loads(Script::default()),
        LoadScript::Fails("no/such-model doesn't exist on the hub; check its spelling".into()),
        LoadScript::Loads(Script::default()),
    ];
    let mut bench = Bench::open(Setting { loads, ..Setting::default() });
    bench.open_models();
    bench.type_into("Hub id", "no/such-model");
    bench.click("Load");
    bench.wait("the failure", |state| !state.model.is_loading());
    assert!(bench.says("no/such-model doesn't exist"));
    bench.click("Try again");
    bench.wait("the model", |state| state.model.loaded().is_some());
}

#[test]
fn the_network_going_away_half_way_is_said_and_retried() {
    let loads = vec![
        LoadScript::Fails("the download stopped at 50%: the network went away".into()),
        LoadScript::Loads(Script::default()),
    ];
    let mut bench = Bench::open(Setting { loads, ..Setting::default() });
    assert!(bench.says("the network went away"));
    bench.click("Try again");
    bench.wait("the model", |state| state.model.loaded().is_some());
}

#[test]
fn a_model_whose_folder_is_deleted_while_loaded_goes_on_working() {
    let setting = Setting::default();
    let folder = setting.path().join("model");
    Bench::model_folder(&folder);
    let mut bench = Bench::open(setting);
    bench.drop_file(&folder);
    bench.wait_until("the second load", |bench| bench.sources().len() == 2);
    bench.wait("the model", |state| state.model.loaded().is_some());
    fs::remove_dir_all(&folder).unwrap();
    bench.run_to_end();
    let run = bench.state().run.as_ref().unwrap();
    assert!(run.panels.iter().all(|panel| panel.state == SessionState::Done));
}

#[test]
fn settings_of_a_newer_version_are_set_aside_with_a_notice() {
    let setting = Setting::default();
    let text = r#"{ "version": 99, "theme": "sepia" }"#;
    fs::write(setting.path().join("settings.json"), text).unwrap();
    let bench = Bench::open(setting);
    assert!(bench.says("newer version"));
    assert_eq!(fs::read_to_string(bench.folder().join("settings.set-aside.json")).unwrap(), text);
}

#[test]
fn a_broken_settings_file_is_set_aside_with_a_notice() {
    let setting = Setting::default();
    fs::write(setting.path().join("settings.json"), "{ \"version\": 1, \"zo").unwrap();
    let bench = Bench::open(setting);
    assert!(bench.says("it is damaged"));
    assert!(bench.folder().join("settings.set-aside.json").exists());
}

#[test]
fn a_results_file_cut_in_half_says_so_and_keeps_what_is_shown() {
    let mut setting = Setting::default();
    let half = setting.path().join("half.json");
    setting.answers = vec![Some(half.clone())];
    let mut bench = Bench::open(setting);
    bench.run_to_end();
    let whole = fs::read_to_string(&bench.run_files()[0]).unwrap();
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let shown = bench.state().run.clone();
    bench.click("Recent runs");
    bench.click("Open run…");
    bench.wait("the message", |state| !state.notices.is_empty());
    assert!(bench.says("the file ends too early"));
    assert_eq!(bench.state().run, shown);
}
