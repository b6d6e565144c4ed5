//! Files given at launch, and other starts of the program, reach the one window.

use super::bench::{Bench, Setting};
use egui::ViewportCommand;
use llmeval::platform::{SingleInstance, Start};
use llmeval::protocol::ModelSource;
use std::fs;
use std::path::{Path, PathBuf};

fn gguf(folder: &Path) -> PathBuf {
    let file = folder.join("given.gguf");
    fs::write(&file, "GGUF").unwrap();
    file
}

#[test]
fn a_model_given_at_launch_is_loaded_instead_of_the_settings_one() {
    let mut setting = Setting::default();
    let file = gguf(setting.path());
    setting.files = vec![file.clone()];
    let mut bench = Bench::open(setting);
    bench.wait("the model", |state| state.model.loaded().is_some());
    assert_eq!(bench.sources(), [ModelSource::Gguf(file)]);
}

#[test]
fn a_run_given_at_launch_is_shown_over_the_settings_model() {
    let mut bench = Bench::open(Setting::default());
    bench.run_to_end();
    let file = bench.run_files()[0].clone();
    let mut bench = Bench::open(Setting { files: vec![file], ..Setting::default() });
    bench.wait("the run", |state| state.run.is_some() && state.model.loaded().is_some());
    assert_eq!(bench.state().run.as_ref().unwrap().totals().tokens, 300);
    assert_eq!(bench.sources(), [ModelSource::Starter]);
}

#[test]
fn a_second_start_brings_the_window_to_the_front_and_opens_its_files_there() {
    let setting = Setting::default();
    let lock = setting.path().join("lock");
    let Start::First(instance) = SingleInstance::claim(&lock, &[]).unwrap() else { panic!("nobody else runs") };
    *setting.instance.lock().unwrap() = Some(instance);
    let file = gguf(setting.path());
    let mut bench = Bench::open(setting);
    assert!(matches!(SingleInstance::claim(&lock, &[]).unwrap(), Start::HandedOver));
    let mut was_raised = false;
    for _ in 0..4 {
        bench.step();
        was_raised |= bench.window_commands().contains(&ViewportCommand::Focus);
    }
    assert!(was_raised, "a start without files asks for the window");
    assert!(matches!(SingleInstance::claim(&lock, std::slice::from_ref(&file)).unwrap(), Start::HandedOver));
    bench.wait_until("the model", |bench| bench.sources().last() == Some(&ModelSource::Gguf(file.clone())));
}
