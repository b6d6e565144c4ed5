//! The window's frame: what happened is taken in, the state is drawn, what the person asked for is done.

use super::apply::apply;
use super::features::Features;
use super::shell::Shell;
use super::storage::Stored;
use super::world::World;
use crate::platform;
use crate::state::AppState;
use crate::ui::{self, Contents};
use eframe::CreationContext;

/// The window.
pub struct WindowApp {
    shell: Shell,
    features: Features,
    contents: Contents,
}

impl WindowApp {
    /// Begins to load the model of the settings that were `stored`. Must be called within a tokio runtime.
    pub fn new(context: &CreationContext<'_>, world: World, stored: Stored) -> Self {
        ui::install(&context.egui_ctx);
        let is_drawn_by_software = platform::is_drawn_by_software(context);
        if is_drawn_by_software {
            ui::stand_still(&context.egui_ctx);
        }
        let shell = Shell::new(context.egui_ctx.clone(), world, stored, is_drawn_by_software);
        let mut window = Self { shell, features: Features::default(), contents: Contents::default() };
        window.features.begin(&mut window.shell);
        window.do_asked();
        window
    }

    /// What is shown, for tests.
    pub fn state(&self) -> &AppState {
        &self.shell.state
    }

    /// Takes in what happened since the last frame.
    fn take_in(&mut self) {
        self.shell.pace.drained();
        for then in self.shell.jobs.take_done() {
            then(&mut self.shell);
        }
        self.do_asked();
        self.features.take_in(&mut self.shell);
        self.do_asked();
        if self.shell.state.is_busy() || self.shell.state.model.is_loading() {
            self.shell.pace.go_on();
        }
    }

    fn do_asked(&mut self) {
        while let Some(action) = self.shell.take_asked() {
            apply(&mut self.features, &mut self.shell, action);
        }
    }
}

impl eframe::App for WindowApp {
    fn logic(&mut self, _context: &egui::Context, _frame: &mut eframe::Frame) {
        self.take_in();
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        for action in self.contents.show(ui, &self.shell.state) {
            self.shell.ask(action);
        }
        self.do_asked();
        if let Some(seconds) = frame.info().cpu_usage {
            self.shell.pace.spent(f64::from(seconds));
        }
    }

    fn raw_input_hook(&mut self, _context: &egui::Context, input: &mut egui::RawInput) {
        self.features.menu.press_keys(input);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

/// What the window does as it closes. eframe drops it then, on the thread that drew it.
impl Drop for WindowApp {
    fn drop(&mut self) {
        self.features.close(&mut self.shell);
        self.shell.models.close();
    }
}
