//! The menu bar's commands, in the window's own words.

use super::window::WindowApp;
use crate::platform::{self, MenuCommand};
use crate::state::{Action, ExportFormat, FileAction, RunAction, ScalingAction, Sheet, Show, SingleAction};
use egui::{Context, Event, Key, Modifiers, RawInput, ViewportCommand};

impl WindowApp {
    /// Does what was chosen in the menu bar since the last frame.
    pub(super) fn take_menu(&mut self, context: &Context) {
        let commands = self.menu.as_ref().map(platform::MenuBar::take_commands).unwrap_or_default();
        for command in commands {
            self.do_command(context, command);
        }
    }

    fn do_command(&mut self, context: &Context, command: MenuCommand) {
        let sheet = |sheet| Action::Show(Show::Sheet(Some(sheet)));
        match command {
            MenuCommand::Settings => self.apply(context, sheet(Sheet::Settings)),
            MenuCommand::ChooseModel => self.apply(context, sheet(Sheet::Models)),
            MenuCommand::Shortcuts => self.apply(context, sheet(Sheet::Shortcuts)),
            MenuCommand::Quit | MenuCommand::CloseWindow => self.apply(context, Action::Quit),
            MenuCommand::OpenRun => self.apply(context, Action::File(FileAction::Open)),
            MenuCommand::ExportRun => self.apply(context, Action::File(FileAction::Export(ExportFormat::Json))),
            // The keys do what the view is for.
            MenuCommand::Generate => self.menu_keys.push((Key::Enter, Modifiers::COMMAND)),
            MenuCommand::RunParallel => self.apply(context, Action::Run(RunAction::Start)),
            MenuCommand::Stop => {
                self.apply(context, Action::Run(RunAction::StopAll));
                self.apply(context, Action::Single(SingleAction::Stop));
                self.apply(context, Action::Scaling(ScalingAction::Stop));
            }
            MenuCommand::ZoomIn => egui::gui_zoom::zoom_in(context),
            MenuCommand::ZoomOut => egui::gui_zoom::zoom_out(context),
            MenuCommand::ActualSize => context.set_zoom_factor(1.0),
            MenuCommand::Cut => context.send_viewport_cmd(ViewportCommand::RequestCut),
            MenuCommand::Copy => context.send_viewport_cmd(ViewportCommand::RequestCopy),
            MenuCommand::Paste => context.send_viewport_cmd(ViewportCommand::RequestPaste),
            MenuCommand::Undo => self.menu_keys.push((Key::Z, Modifiers::COMMAND)),
            MenuCommand::Redo => self.menu_keys.push((Key::Z, Modifiers::COMMAND | Modifiers::SHIFT)),
            MenuCommand::SelectAll => self.menu_keys.push((Key::A, Modifiers::COMMAND)),
            MenuCommand::ShowLogs => {
                if let Some(folder) = platform::log_folder()
                    && let Err(error) = platform::show_in_file_manager(&folder)
                {
                    self.state.notify(crate::state::Tone::Problem, format!("The log folder can't be shown: {error}"));
                }
            }
        }
    }

    /// Hands the text fields the keys that stand for a menu's command.
    pub(super) fn press_menu_keys(&mut self, input: &mut RawInput) {
        for (key, modifiers) in self.menu_keys.drain(..) {
            for pressed in [true, false] {
                input.events.push(Event::Key { key, physical_key: None, pressed, repeat: false, modifiers });
            }
        }
    }
}
