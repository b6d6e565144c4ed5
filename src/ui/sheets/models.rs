//! The model picker.

use super::parts::{choice, heading};
use crate::protocol::{ModelSource, Packing};
use crate::state::{ModelAction, Show, note, place, stops};
use crate::ui::scene::Scene;
use crate::ui::theme::{self, CONTROL_HEIGHT, Palette, STEP};
use crate::ui::widgets;
use egui::{Align, Key, Label, Layout, ScrollArea, TextEdit, Ui, vec2};

/// What stands beside the loaded model where its weights are to be held in another way.
const LOAD_AGAIN: &str = "choose it to load it again";

/// Width of the button beside the field.
const LOAD_WIDTH: f32 = 64.0;

/// What the picker remembers from frame to frame.
#[derive(Default)]
pub struct ModelsSheet {
    hub_id: String,
}

/// Draws the picker.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, input: &mut ModelsSheet) {
    heading(ui, scene, "Model");
    let state = scene.state;
    find(ui, scene, input);
    ui.add_space(STEP);
    let found: Vec<_> = state.models.iter().filter(|entry| entry.matches(&input.hub_id)).collect();
    if found.is_empty() && !state.models.is_empty() {
        ui.label(theme::caption(ui, "None of these. A repository of the hub in the mlx-community layout loads too."));
    }
    // The sheet keeps its size while the list is filtered.
    let below = 2.0 * (CONTROL_HEIGHT + STEP) + 2.0 * STEP;
    let list = ScrollArea::vertical().max_height(ui.available_height() - below).auto_shrink([false, false]);
    list.show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        for entry in found {
            let is_loaded = state.model.loaded().is_some_and(|model| model.source == entry.source);
            let is_as_asked = is_loaded && state.packing == scene.settings.packing;
            let chosen = choice(ui, &format!("Load {}", entry.name), is_loaded, |ui| {
                ui.horizontal(|ui| {
                    ui.label(theme::title(&entry.name));
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let palette = Palette::of(ui);
                        if is_loaded {
                            widgets::badge(ui, "Loaded", palette.accent_text, palette.surface);
                        } else if entry.fits == Some(false) {
                            widgets::badge(ui, "Too large here", palette.warn, palette.control);
                        }
                        let words = if is_loaded && !is_as_asked { LOAD_AGAIN.to_owned() } else { place(entry) };
                        ui.label(theme::caption(ui, words));
                    });
                });
                for line in note(entry) {
                    let line = ui.add(Label::new(theme::caption(ui, line)).truncate());
                    if let Some(stops) = stops(entry) {
                        line.on_hover_text(stops);
                    }
                }
            });
            if chosen && !is_as_asked {
                load(scene, entry.source.clone());
            }
        }
    });
    ui.add_space(STEP);
    packing(ui, scene);
    ui.horizontal(|ui| {
        let can_open = !state.dialog_is_open;
        if ui.add_enabled(can_open, egui::Button::new("Open a folder…")).clicked() {
            scene.model(ModelAction::FolderDialog);
        }
        if ui.add_enabled(can_open, egui::Button::new("Open a .gguf file…")).clicked() {
            scene.model(ModelAction::FileDialog);
        }
        ui.label(theme::caption(ui, "or drop one on the window"));
    });
}

/// How the weights of the next model are held.
fn packing(ui: &mut Ui, scene: &mut Scene<'_>) {
    ui.horizontal(|ui| {
        ui.label("Weights");
        let choices = Packing::ALL.map(|packing| (packing, packing.name()));
        widgets::segmented(ui, "Weights", &mut scene.settings.packing, &choices);
        ui.add(Label::new(theme::caption(ui, "Fewer bits for dense models, packed as they load")).truncate());
    });
}

/// One field finds models of the list and takes the id of any other.
fn find(ui: &mut Ui, scene: &mut Scene<'_>, input: &mut ModelsSheet) {
    ui.horizontal(|ui| {
        let hint = "Find a model, or give the hub id of any other: owner/name";
        let width = ui.available_width() - LOAD_WIDTH - STEP;
        let field = TextEdit::singleline(&mut input.hub_id).hint_text(hint).desired_width(width);
        let response = ui.add(field).accessible_name("Hub id");
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let source = ModelSource::hub_id(input.hub_id.trim());
        let button = egui::Button::new("Load").min_size(vec2(LOAD_WIDTH, 0.0));
        let clicked = ui.add_enabled(source.is_some(), button).clicked();
        if let Some(source) = source.filter(|_| clicked || entered) {
            load(scene, source);
        }
    });
}

fn load(scene: &mut Scene<'_>, source: ModelSource) {
    scene.show(Show::Sheet(None));
    scene.model(ModelAction::Choose(source));
}
