//! Settings on their way: theme and zoom to the window, its size from it, and all of them to their file.

use super::feature::Feature;
use super::shell::Shell;
use crate::state::{Settings, ThemeChoice, Tone};
use std::time::{Duration, Instant};

const SAVE: &str = "save the settings";

/// How long settings wait to be written, so that a slider's way is one file.
const PAUSE: Duration = Duration::from_millis(500);

/// Brings theme and zoom to the window, and settings to their file.
#[derive(Default)]
pub struct SettingsKeeping {
    /// What the file holds.
    saved: Settings,
    unsaved_since: Option<Instant>,
    theme: Option<ThemeChoice>,
    zoom: f32,
}

impl Feature for SettingsKeeping {
    fn begin(&mut self, shell: &mut Shell) {
        self.saved = shell.state.settings.clone();
    }

    fn take_in(&mut self, shell: &mut Shell) {
        self.bring_theme_and_zoom(shell);
        take_size(shell);
        self.save(shell);
    }

    fn close(&mut self, shell: &mut Shell) {
        if shell.state.settings != self.saved
            && let Err(error) = shell.world.storage.write_settings(&shell.state.settings)
        {
            tracing::warn!("the settings could not be saved: {error}");
        }
    }
}

impl SettingsKeeping {
    fn bring_theme_and_zoom(&mut self, shell: &mut Shell) {
        let (context, settings) = (&shell.context, &mut shell.state.settings);
        if self.theme != Some(settings.theme) {
            self.theme = Some(settings.theme);
            context.set_theme(match settings.theme {
                ThemeChoice::System => egui::ThemePreference::System,
                ThemeChoice::Light => egui::ThemePreference::Light,
                ThemeChoice::Dark => egui::ThemePreference::Dark,
            });
        }
        if settings.zoom != self.zoom {
            context.set_zoom_factor(settings.zoom);
        } else if context.zoom_factor() != settings.zoom {
            // Cmd-plus and Cmd-minus.
            settings.zoom = context.zoom_factor();
        }
        self.zoom = settings.zoom;
    }

    fn save(&mut self, shell: &mut Shell) {
        if shell.state.settings == self.saved {
            self.unsaved_since = None;
            return;
        }
        let since = *self.unsaved_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PAUSE || shell.jobs.is_running(SAVE) {
            shell.context.request_repaint_after(PAUSE);
            return;
        }
        self.saved = shell.state.settings.clone();
        let (storage, settings) = (shell.world.storage.clone(), self.saved.clone());
        let write = move || storage.write_settings(&settings).map_err(|error| error.to_string());
        shell.jobs.blocking(SAVE, write, |shell, written| {
            if let Err(message) = written {
                shell.state.notify(Tone::Problem, format!("The settings could not be saved: {message}"));
            }
        });
    }
}

/// Notes the window's size, which is in points at zoom 1, unless the window fills the screen.
fn take_size(shell: &mut Shell) {
    let size = shell.context.input(|input| {
        let viewport = input.viewport();
        let is_free = viewport.maximized != Some(true) && viewport.fullscreen != Some(true);
        viewport.inner_rect.filter(|_| is_free).map(|rect| rect.size())
    });
    if let Some(size) = size.filter(|size| size.x >= 1.0 && size.y >= 1.0) {
        let settings = &mut shell.state.settings;
        settings.window_size = [(size.x * settings.zoom).round(), (size.y * settings.zoom).round()];
    }
}
