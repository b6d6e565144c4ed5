//! The menu bar's commands, in the window's own words.

use super::feature::Feature;
use super::shell::Shell;
use crate::platform::{self, MenuBar, MenuCommand};
use crate::state::{Action, ExportFormat, FileAction, RunAction, Sheet, Show, Tone};
use egui::{Event, Key, Modifiers, RawInput, ViewportCommand};
use std::sync::Arc;

/// The menu bar, where the system has one outside of the window.
#[derive(Default)]
pub struct Menu {
    bar: Option<MenuBar>,
    /// Keys that a command stands for, until the next frame.
    keys: Vec<(Key, Modifiers)>,
}

impl Feature for Menu {
    fn begin(&mut self, shell: &mut Shell) {
        let wake = Arc::clone(&shell.wake);
        match MenuBar::install(move || wake()) {
            Ok(bar) => self.bar = Some(bar),
            Err(error) => tracing::warn!("no menu bar: {error}"),
        }
    }

    /// Does what was chosen since the last frame.
    fn take_in(&mut self, shell: &mut Shell) {
        for command in self.bar.as_ref().map(MenuBar::take_commands).unwrap_or_default() {
            self.command(shell, command);
        }
    }
}

impl Menu {
    fn command(&mut self, shell: &mut Shell, command: MenuCommand) {
        let context = &shell.context;
        let sheet = |sheet| Action::Show(Show::Sheet(Some(sheet)));
        match command {
            MenuCommand::Settings => shell.ask(sheet(Sheet::Settings)),
            MenuCommand::ChooseModel => shell.ask(sheet(Sheet::Models)),
            MenuCommand::Shortcuts => shell.ask(sheet(Sheet::Shortcuts)),
            MenuCommand::Quit | MenuCommand::CloseWindow => shell.ask(Action::Quit),
            MenuCommand::OpenRun => shell.ask(Action::File(FileAction::Open)),
            MenuCommand::ExportRun => shell.ask(Action::File(FileAction::Export(ExportFormat::Json))),
            // The keys do what the view is for.
            MenuCommand::Generate => self.keys.push((Key::Enter, Modifiers::COMMAND)),
            MenuCommand::RunParallel => shell.ask(Action::Run(RunAction::Start)),
            MenuCommand::Stop => shell.ask(Action::Run(RunAction::StopAll)),
            MenuCommand::ZoomIn => egui::gui_zoom::zoom_in(context),
            MenuCommand::ZoomOut => egui::gui_zoom::zoom_out(context),
            MenuCommand::ActualSize => context.set_zoom_factor(1.0),
            MenuCommand::Cut => context.send_viewport_cmd(ViewportCommand::RequestCut),
            MenuCommand::Copy => context.send_viewport_cmd(ViewportCommand::RequestCopy),
            MenuCommand::Paste => context.send_viewport_cmd(ViewportCommand::RequestPaste),
            MenuCommand::Undo => self.keys.push((Key::Z, Modifiers::COMMAND)),
            MenuCommand::Redo => self.keys.push((Key::Z, Modifiers::COMMAND | Modifiers::SHIFT)),
            MenuCommand::SelectAll => self.keys.push((Key::A, Modifiers::COMMAND)),
            MenuCommand::ShowLogs => {
                if let Some(folder) = platform::log_folder()
                    && let Err(error) = platform::show_in_file_manager(&folder)
                {
                    shell.state.notify(Tone::Problem, format!("The log folder can't be shown: {error}"));
                }
            }
        }
    }

    /// Hands the text fields the keys that stand for a menu's command.
    pub fn press_keys(&mut self, input: &mut RawInput) {
        for (key, modifiers) in self.keys.drain(..) {
            for pressed in [true, false] {
                input.events.push(Event::Key { key, physical_key: None, pressed, repeat: false, modifiers });
            }
        }
    }
}
