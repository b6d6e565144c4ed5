//! What the person asked for, done: which feature each action belongs to. It starts work or changes the state, and nothing
//! waits.

use super::dialogs::Ask;
use super::feature::Feature;
use super::features::Features;
use super::shell::Shell;
use crate::state::{Action, FileAction, ModelAction, RunAction, ScalingAction, Sheet, Show, SingleAction};
use egui::ViewportCommand;

/// Does what was asked for.
pub fn apply(features: &mut Features, shell: &mut Shell, action: Action) {
    match action {
        Action::Settings(settings) => shell.state.settings = *settings,
        Action::Show(show) => {
            if show == Show::Sheet(Some(Sheet::Models)) {
                features.catalog.list(shell);
            }
            shell.state.show(show);
        }
        Action::Copy(text) => shell.context.copy_text(text),
        Action::Quit => shell.context.send_viewport_cmd(ViewportCommand::Close),
        Action::Model(action) => match action {
            ModelAction::Choose(source) => features.loading.choose(shell, source),
            ModelAction::ChooseAnyway(source) => {
                features.stop(shell);
                features.loading.load(shell, source);
            }
            ModelAction::FolderDialog => features.files.choose_model(shell, Ask::ModelFolder),
            ModelAction::FileDialog => features.files.choose_model(shell, Ask::ModelFile),
            ModelAction::Retry => features.loading.retry(shell),
            ModelAction::Pause => features.loading.pause(shell),
            ModelAction::Cancel => features.loading.cancel(shell),
        },
        Action::Run(action) => match action {
            RunAction::Start => features.parallel.start(shell),
            RunAction::Begin(config) => features.parallel.begin(shell, *config),
            RunAction::StopAll => features.stop(shell),
            RunAction::Stop(id) => features.parallel.stop_one(shell, id),
            RunAction::Again(id) => features.parallel.again(shell, id),
            RunAction::Clear if shell.state.run_is_active() => {}
            RunAction::Clear => {
                features.verify.stop(shell);
                shell.state.clear_run();
            }
            RunAction::Race => features.race.start(shell),
            RunAction::Verify => features.verify.start(shell),
            RunAction::StopVerifying => features.verify.stop(shell),
        },
        Action::Single(action) => match action {
            SingleAction::Generate => features.single.generate(shell),
            SingleAction::Stop => features.single.stop(shell),
        },
        Action::Scaling(action) => match action {
            ScalingAction::Start => features.scaling.start(shell),
            ScalingAction::Stop => features.scaling.stop(shell),
            ScalingAction::Export(format) => features.scaling.export(shell, format),
        },
        Action::File(action) => match action {
            FileAction::Export(format) => features.files.export(shell, format),
            FileAction::Open => features.files.open(shell),
            FileAction::OpenRecent(path) => features.files.open_path(shell, path),
        },
    }
}
