//! What covers the middle while no model is there: how its load goes, or why it failed.

use super::scene::Scene;
use super::theme::{self, Palette, STEP};
use super::widgets;
use crate::protocol::LoadProgress;
use crate::protocol::bytes;
use crate::state::{ModelAction, ModelState, Sheet, progress_words, short_name};
use egui::{Label, RichText, Ui, vec2};

/// Draws the overlay; returns whether it covers the middle.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) -> bool {
    match &scene.state.model {
        ModelState::Loaded(_) => false,
        ModelState::Loading { source, progress } => {
            let (heading, detail, share) = progress_words(source, progress);
            centred(ui, |ui| {
                ui.horizontal(|ui| {
                    if share.is_none() {
                        widgets::spinner(ui, theme::ICON_SIZE);
                    }
                    ui.add(Label::new(theme::title(heading)).truncate());
                });
                if let Some(share) = share {
                    widgets::progress(ui, share, Palette::of(ui).accent, "Progress of the download");
                }
                ui.label(theme::caption(ui, detail));
                ui.horizontal(|ui| {
                    let is_download = matches!(progress, LoadProgress::Downloading { .. });
                    if is_download && ui.button("Pause").on_hover_text("What came so far is kept").clicked() {
                        scene.model(ModelAction::Pause);
                    }
                    if ui.button("Cancel").clicked() {
                        scene.model(ModelAction::Cancel);
                    }
                });
            });
            true
        }
        ModelState::Paused { source, progress } => {
            let here = match progress {
                LoadProgress::Downloading { done_bytes, total_bytes: Some(total), .. } => {
                    format!("{} of {} are here.", bytes(*done_bytes), bytes(*total))
                }
                _ => "What came so far is kept.".to_owned(),
            };
            centred(ui, |ui| {
                ui.label(theme::title(format!("The download of {} is paused", short_name(source))));
                ui.label(theme::caption(ui, here));
                ui.horizontal(|ui| {
                    if widgets::primary_button(ui, "Resume", true, vec2(104.0, 32.0)).clicked() {
                        scene.model(ModelAction::Retry);
                    }
                    let cancel = ui.add(egui::Button::new("Cancel").min_size(vec2(0.0, 32.0)));
                    if cancel.on_hover_text("Throws away what came").clicked() {
                        scene.model(ModelAction::Cancel);
                    }
                });
            });
            true
        }
        ModelState::Failed { source, message } => {
            centred(ui, |ui| {
                ui.label(theme::title(format!("{} did not load", short_name(source))));
                ui.add(Label::new(RichText::new(message).color(Palette::of(ui).bad)).wrap().selectable(true));
                ui.horizontal(|ui| {
                    if widgets::primary_button(ui, "Try again", true, vec2(104.0, 32.0)).clicked() {
                        scene.model(ModelAction::Retry);
                    }
                    if ui.add(egui::Button::new("Choose another model…").min_size(vec2(0.0, 32.0))).clicked() {
                        scene.open(Sheet::Models);
                    }
                });
            });
            true
        }
        ModelState::Absent => {
            centred(ui, |ui| {
                ui.label(theme::title("No model is loaded"));
                ui.label(theme::caption(ui, "Choose one to begin, or drop a model's folder or .gguf file here."));
                ui.horizontal(|ui| {
                    if widgets::primary_button(ui, "Choose a model…", true, vec2(160.0, 32.0)).clicked() {
                        scene.open(Sheet::Models);
                    }
                });
            });
            true
        }
    }
}

fn centred(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() / 2.0 - 96.0).max(0.0));
        theme::card(ui).inner_margin(24.0).show(ui, |ui| {
            ui.set_width(400.0_f32.min(ui.available_width()));
            ui.spacing_mut().item_spacing.y = 12.0;
            ui.with_layout(egui::Layout::top_down(egui::Align::Min), contents);
        });
        ui.add_space(STEP);
    });
}
