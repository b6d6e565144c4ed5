//! The keyboard's ways.

use super::parts::heading;
use crate::ui::scene::Scene;
use crate::ui::shortcuts;
use crate::ui::theme;
use egui::{Grid, ScrollArea, Ui};

/// Draws the list.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    heading(ui, scene, "Keyboard");
    ScrollArea::vertical().max_height(ui.available_height()).show(ui, |ui| {
        ui.set_width(ui.available_width());
        // All of them fit a small window.
        ui.spacing_mut().interact_size.y = theme::DOUBLE;
        Grid::new("shortcuts").num_columns(2).spacing([32.0, 8.0]).show(ui, |ui| {
            for (keys, what) in shortcuts::list(ui.ctx()) {
                ui.label(theme::title(keys));
                ui.label(what);
                ui.end_row();
            }
        });
    });
}
