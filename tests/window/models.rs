//! Models load at launch, fail with a reason, and are chosen by hub id, folder, file and drop.

use super::bench::{Bench, LoadScript, Setting};
use crate::support::scripted::Script;
use llmeval::protocol::{FileProgress, HeldMemory, LoadProgress, MachineMemory, ModelSource, Packing};
use llmeval::state::{ModelState, Sheet};
use std::time::Duration;

#[test]
fn the_starter_model_loads_at_launch_and_its_line_is_shown() {
    let bench = Bench::open(Setting::default());
    assert_eq!(bench.sources(), [ModelSource::Starter]);
    assert!(bench.says("• 135M parameters"));
}

#[test]
fn a_download_shows_its_share_and_bytes_and_can_be_cancelled() {
    let progress = LoadProgress::Downloading {
        files: vec![FileProgress {
            name: "model.safetensors".into(),
            done_bytes: 200_000_000,
            total_bytes: 1_000_000_000,
        }],
        done_bytes: 1_200_000_000,
        total_bytes: Some(2_400_000_000),
        done_files: 1,
        total_files: 7,
        bytes_per_second: Some(20_000_000.0),
    };
    let mut bench = Bench::open(Setting { loads: vec![LoadScript::Hangs(progress)], ..Setting::default() });
    bench.wait_until("the progress", |bench| bench.says("(50%)"));
    let detail = "1.2 GB of 2.4 GB at 20.0 MB/s, about 60 s left\nmodel.safetensors: 20% of 1.0 GB";
    assert!(bench.shows(detail));
    assert!(!bench.is_enabled("Run Parallel Demo"));
    bench.click("Cancel");
    assert_eq!(bench.state().model, ModelState::Absent);
    assert!(bench.shows("No model is loaded"));
}

#[test]
fn a_download_is_paused_and_goes_on() {
    let progress = LoadProgress::Downloading {
        files: Vec::new(),
        done_bytes: 1_200_000_000,
        total_bytes: Some(2_400_000_000),
        done_files: 1,
        total_files: 2,
        bytes_per_second: None,
    };
    let loads = vec![LoadScript::Hangs(progress), LoadScript::Loads(Script::default())];
    let mut bench = Bench::open(Setting { loads, ..Setting::default() });
    bench.wait_until("the progress", |bench| bench.says("(50%)"));
    bench.click("Pause");
    assert!(bench.says("is paused") && bench.shows("1.2 GB of 2.4 GB are here."));
    bench.click("Resume");
    bench.wait("the model", |state| state.model.loaded().is_some());
    assert_eq!(bench.sources(), [ModelSource::Starter, ModelSource::Starter]);
}

#[test]
fn a_failed_load_says_why_and_can_be_tried_again() {
    let loads = vec![LoadScript::Fails("the hub can't be reached".into()), LoadScript::Loads(Script::default())];
    let mut bench = Bench::open(Setting { loads, ..Setting::default() });
    assert!(bench.says("the hub can't be reached"));
    bench.click("Try again");
    bench.wait("the model", |state| state.model.loaded().is_some());
}

#[test]
fn a_hub_id_is_typed_and_loaded() {
    let mut bench = Bench::open(Setting::default());
    bench.open_models();
    bench.type_into("Hub id", "mlx-community/Qwen3-1.7B-4bit");
    bench.click("Load");
    bench.wait("the model", |state| state.model.loaded().is_some());
    let id = ModelSource::Hub("mlx-community/Qwen3-1.7B-4bit".into());
    assert_eq!(bench.sources().last(), Some(&id));
    assert_eq!(bench.state().settings.model, id);
}

#[test]
fn dense_weights_are_packed_at_the_next_load_as_it_was_chosen_also_after_a_restart() {
    let mut bench = Bench::open(Setting::default());
    bench.open_models();
    bench.wait("the list", |state| !state.models.is_empty());
    bench.click("Load SmolLM2 135M Instruct (starter)");
    assert_eq!(bench.packings(), [Packing::AsStored], "it is here as it was asked for");
    bench.node("4 bits").focus();
    bench.settle();
    bench.press(egui::Modifiers::NONE, egui::Key::Space);
    assert_eq!(bench.state().settings.packing, Packing::FourBits);
    assert!(bench.says("choose it to load it again"));
    bench.click("Load SmolLM2 135M Instruct (starter)");
    bench.wait("the model", |state| state.model.loaded().is_some());
    assert_eq!(bench.packings(), [Packing::AsStored, Packing::FourBits]);
    let bench = bench.reopen();
    assert_eq!(bench.packings(), [Packing::FourBits]);
    assert_eq!(bench.state().settings.packing, Packing::FourBits);
}

#[test]
fn the_list_is_filtered_while_one_types_and_tells_what_a_model_takes() {
    let mut bench = Bench::open(Setting::default());
    bench.open_models();
    bench.wait("the list", |state| !state.models.is_empty());
    assert!(bench.shows("Load Qwen3 1.7B") && bench.shows("Load Gemma 2 2B"));
    bench.type_into("Hub id", "qwen3 1.7");
    assert!(bench.shows("Load Qwen3 1.7B") && !bench.shows("Load Gemma 2 2B"));
    assert!(bench.says("4 bits • 40960 context • can think"));
    assert!(bench.says("with 8 sessions") && bench.says("temperature 0.6, top-p 0.95, top-k 20"));
    assert!(!bench.is_enabled("Load"), "this is no hub id");
}

#[test]
fn choosing_a_model_says_that_its_makers_sampling_is_taken() {
    let mut bench = Bench::open(Setting::default());
    assert!(!bench.says("Sampling now follows"), "nothing is advised for the starter model");
    bench.open_models();
    bench.type_into("Hub id", "mlx-community/Qwen3-1.7B-4bit");
    bench.click("Load");
    bench.wait("the model", |state| state.model.loaded().is_some());
    assert!(bench.says("Qwen3-1.7B-4bit: temperature 0.6, top-p 0.95, top-k 20"));
    assert_eq!(bench.state().settings.parallel.temperature, 0.6);
}

#[test]
fn folders_and_files_are_chosen_through_the_systems_dialogs() {
    let mut setting = Setting::default();
    let folder = setting.path().join("my-model");
    Bench::model_folder(&folder);
    let file = setting.path().join("my-model.gguf");
    std::fs::write(&file, "GGUF").unwrap();
    setting.answers = vec![Some(folder.clone()), Some(file.clone()), None];
    let mut bench = Bench::open(setting);
    for (button, source) in [
        ("Open a folder…", ModelSource::Folder(folder)),
        ("Open a .gguf file…", ModelSource::Gguf(file.clone())),
        ("Open a folder…", ModelSource::Gguf(file)),
    ] {
        bench.open_models();
        bench.click(button);
        bench.wait_until("the model", |bench| {
            let state = bench.state();
            !state.dialog_is_open && state.model.loaded().is_some() && bench.sources().last() == Some(&source)
        });
        bench.close_sheet();
    }
}

#[test]
fn a_chosen_folder_that_is_no_model_is_named_where_it_can_be_read() {
    let mut setting = Setting::default();
    let folder = setting.path().join("holidays");
    std::fs::create_dir(&folder).unwrap();
    setting.answers = vec![None, Some(folder)];
    let mut bench = Bench::open(setting);
    bench.open_models();
    bench.click("Open a folder…");
    bench.wait("the answer", |state| !state.dialog_is_open);
    assert_eq!(bench.state().sheet, Some(Sheet::Models), "nothing was chosen");
    bench.click("Open a folder…");
    bench.wait("the message", |state| !state.notices.is_empty());
    assert!(bench.says("The folder holidays is no model"));
    assert_eq!(bench.state().sheet, None, "a sheet would stand before the message");
}

#[test]
fn a_dropped_folder_is_loaded() {
    let setting = Setting::default();
    let folder = setting.path().join("dropped");
    Bench::model_folder(&folder);
    let mut bench = Bench::open(setting);
    bench.drop_file(&folder);
    bench.wait_until("the second load", |bench| bench.sources().len() == 2);
    bench.wait("the model", |state| state.model.loaded().is_some());
    assert_eq!(bench.sources().last(), Some(&ModelSource::Folder(folder)));
}

#[test]
fn loading_another_model_while_a_run_is_on_asks_first() {
    let mut bench = Bench::open(Setting::script(Script { step: Duration::from_millis(2), ..Script::default() }));
    let folder = bench.folder().join("other");
    Bench::model_folder(&folder);
    bench.set_max_tokens(5000);
    bench.click("Run Parallel Demo");
    bench.wait("tokens", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > 2));
    bench.drop_file(&folder);
    bench.wait("the question", |state| matches!(state.sheet, Some(Sheet::ConfirmModel(_))));
    bench.click("Keep running");
    assert!(bench.state().run_is_active());
    assert_eq!(bench.sources().len(), 1);
    bench.drop_file(&folder);
    bench.wait("the question", |state| state.sheet.is_some());
    bench.click("Stop and load");
    bench.wait("the end", |state| !state.run_is_active() && state.model.loaded().is_some());
    assert_eq!(bench.sources().len(), 2);
    assert_eq!(bench.run_files().len(), 1, "what the stopped run gave is kept");
}

#[test]
fn a_run_that_fits_only_without_what_other_loaded_models_were_promised_is_refused() {
    let mut state = Bench::open(Setting::default()).state().clone();
    state.machine = MachineMemory { total: 16_000_000_000, available: 1_000_000_000 };
    state.held = HeldMemory::default();
    assert_eq!(state.run_obstacle(), None);
    state.held.kv_caches = 1_000_000_000;
    let refusal = state.run_obstacle().unwrap_or_default();
    assert!(refusal.contains("other models and runs 1.0 GB"), "{refusal}");
    assert!(state.scaling_obstacle().is_some_and(|refusal| refusal.contains("other models and runs 1.0 GB")));
}
