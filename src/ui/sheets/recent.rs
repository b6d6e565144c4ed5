//! The runs that ended, newest first.

use super::parts::{choice, heading};
use crate::protocol::rate;
use crate::state::{FileAction, Show};
use crate::ui::scene::Scene;
use crate::ui::theme::{self, STEP};
use egui::{Align, Label, Layout, ScrollArea, Ui, vec2};

/// Width of the throughputs, so that the dates stand one below the other.
const RATE_WIDTH: f32 = 96.0;

/// Draws the list.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    heading(ui, scene, "Recent runs");
    let records = &scene.state.recent;
    if records.is_empty() {
        ui.label(theme::caption(ui, "No run has ended yet. Every run is kept here as it ends or is stopped."));
    }
    ScrollArea::vertical().max_height(ui.available_height() - 64.0).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        for record in records {
            let config = &record.config;
            let sessions = if config.sessions == 1 { "session" } else { "sessions" };
            let title = format!("{} {sessions}, {}", config.sessions, config.execution);
            let packed = record.packed_bits.map(|bits| format!(" · {bits} bits")).unwrap_or_default();
            let detail = format!(
                "{}{packed} · temperature {:.2} · max tokens {} · {} tokens",
                record.model, config.temperature, config.max_tokens, record.total_tokens
            );
            let chosen = choice(ui, &format!("Open the run of {}", record.ended), false, |ui| {
                ui.horizontal(|ui| {
                    ui.label(theme::title(title));
                    ui.label(theme::caption(ui, if record.is_complete { "" } else { "not complete" }));
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let rate = theme::title(format!("{} tok/s", rate(record.tokens_per_second)));
                        let room = vec2(RATE_WIDTH, ui.spacing().interact_size.y);
                        ui.allocate_ui_with_layout(room, Layout::right_to_left(Align::Center), |ui| {
                            ui.set_min_width(RATE_WIDTH);
                            ui.label(rate);
                        });
                        ui.label(theme::caption(ui, &record.ended));
                    });
                });
                ui.add(Label::new(theme::caption(ui, detail)).truncate());
            });
            if chosen {
                scene.show(Show::Sheet(None));
                scene.file(FileAction::OpenRecent(record.path.clone()));
            }
        }
    });
    ui.add_space(STEP);
    if ui.add_enabled(!scene.state.dialog_is_open, egui::Button::new("Open run…")).clicked() {
        scene.show(Show::Sheet(None));
        scene.file(FileAction::Open);
    }
}
