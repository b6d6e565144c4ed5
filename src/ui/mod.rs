//! The window's contents: draws the state, returns what the person asked for. Knows egui and `state`, nothing else.

mod bidi;
mod caches;
mod chart;
mod controls;
mod grid;
mod icons;
mod long_prompt;
mod markdown;
mod notices;
mod overlay;
mod panel;
mod paste;
mod picture;
mod race;
mod raster;
mod results;
mod right_to_left;
mod run_header;
mod scaling;
mod scene;
mod sheets;
mod shortcuts;
mod single;
mod stream_area;
mod stream_text;
mod theme;
mod timeline;
mod top_bar;
mod verify;
mod widgets;

pub use grid::GridShape;
pub use picture::scaling_picture;
pub use raster::Picture;
pub use theme::{install, stand_still};

use crate::state::{Action, AppState, RunState, View};
use caches::Caches;
use egui::{CentralPanel, Panel, ScrollArea, Ui};
use scene::Scene;
use sheets::SheetInput;

/// Draws the window; remembers laid-out text and half-typed input between frames.
#[derive(Default)]
pub struct Contents {
    caches: Caches,
    input: SheetInput,
}

impl Contents {
    /// Draws `state` and returns what the person asked for, in order.
    pub fn show(&mut self, ui: &mut Ui, state: &AppState) -> Vec<Action> {
        let mut scene = Scene::new(state);
        paste::take_long(ui.ctx(), &mut scene);
        shortcuts::handle(ui.ctx(), &mut scene);
        let bar = theme::bar(ui);
        Panel::top("top bar").frame(bar).exact_size(theme::TOP_BAR_HEIGHT).resizable(false).show(ui, |ui| {
            top_bar::show(ui, &mut scene);
        });
        side(ui, &mut scene);
        let frame = theme::middle(ui);
        CentralPanel::no_frame().frame(frame).show(ui, |ui| {
            notices::show(ui, &mut scene);
            let shows_run = match state.settings.view {
                View::Single => false,
                View::Parallel => state.run.is_some(),
                View::Scaling => state.scaling.is_some(),
            };
            // A run that is on show stays there, whatever happens to the model.
            if shows_run || !overlay::show(ui, &mut scene) {
                match state.settings.view {
                    View::Single => single::show(ui, &mut scene, &mut self.caches),
                    View::Parallel => parallel(ui, &mut scene, &mut self.caches),
                    View::Scaling => scaling::show(ui, &mut scene),
                }
            }
        });
        sheets::show(ui, &mut scene, &mut self.input);
        scene.finish()
    }
}

fn side(ui: &mut Ui, scene: &mut Scene<'_>) {
    let frame = theme::bar(ui);
    Panel::left("controls").frame(frame).exact_size(theme::SIDE_WIDTH).resizable(false).show(ui, |ui| {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| match scene.state.settings.view {
            View::Single => single::show_options(ui, scene),
            View::Parallel => controls::show(ui, scene),
            View::Scaling => scaling::show_options(ui, scene),
        });
    });
}

fn parallel(ui: &mut Ui, scene: &mut Scene<'_>, caches: &mut Caches) {
    let Some(run) = &scene.state.run else {
        if !controls::obstacle(ui, scene) {
            ui.label(theme::caption(ui, "Each panel is a session. Edit the prompts, then press Run Parallel Demo."));
        }
        return grid::show(ui, scene, &mut caches.panels);
    };
    controls::obstacle(ui, scene);
    race::show(ui, scene);
    run_header::show(ui, scene, run);
    match &run.report {
        Some(report) if scene.state.shows_results => results::show(ui, scene, report),
        _ => panels(ui, scene, run, caches),
    }
}

fn panels(ui: &mut Ui, scene: &mut Scene<'_>, run: &RunState, caches: &mut Caches) {
    if scene.settings.timeline && scene.state.maximised.is_none() {
        let room = ui.available_height() * 0.12;
        let frame = theme::card(ui).outer_margin(egui::Margin { top: theme::STEP as i8, ..egui::Margin::ZERO });
        Panel::bottom("timeline").frame(frame).show_separator_line(false).resizable(false).show(ui, |ui| {
            ui.spacing_mut().interact_size.y = theme::DOUBLE;
            ui.spacing_mut().item_spacing.y = theme::HALF;
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = theme::HALF;
                ui.label(theme::caption(ui, "Timeline"));
                ui.add_space(theme::STEP);
                timeline::legend(ui);
            });
            timeline::show(ui, run, room);
        });
    }
    CentralPanel::no_frame().show(ui, |ui| grid::show(ui, scene, &mut caches.panels));
}
