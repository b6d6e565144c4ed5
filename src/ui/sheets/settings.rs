//! Theme and zoom.

use super::parts::heading;
use crate::state::{Settings, ThemeChoice};
use crate::ui::scene::Scene;
use crate::ui::theme::STEP;
use crate::ui::widgets;
use egui::{DragValue, Ui};

/// Draws the settings that belong to no single run.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    heading(ui, scene, "Settings");
    ui.horizontal(|ui| {
        ui.label("Theme");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let choices = [(ThemeChoice::Dark, "Dark"), (ThemeChoice::Light, "Light"), (ThemeChoice::System, "System")];
            widgets::segmented(ui, "Theme", &mut scene.settings.theme, &choices);
        });
    });
    let mut percent = (scene.settings.zoom * 100.0).round() as u32;
    let zoom = DragValue::new(&mut percent).range(50..=300).suffix(" %");
    widgets::number(ui, "Zoom", "The size of everything in the window", zoom);
    scene.settings.zoom = if percent == (scene.settings.zoom * 100.0).round() as u32 {
        scene.settings.zoom
    } else {
        percent as f32 / 100.0
    };
    widgets::switch(ui, &mut scene.settings.timeline, "Timeline under the panels", "A lane per session over time");
    let parallel = &mut scene.settings.parallel;
    let cache = DragValue::new(&mut parallel.cache_limit_mb).range(0..=65_536).suffix(" MB");
    widgets::number(ui, "Cache limit", "The most memory that MLX keeps for reuse", cache);
    ui.add_space(STEP);
    if ui.button("Reset everything").on_hover_text("Every setting back to its default; runs are kept").clicked() {
        let settings = &mut scene.settings;
        let defaults = Settings::default();
        *settings = Settings {
            window_size: settings.window_size,
            model: settings.model.clone(),
            packing: settings.packing,
            ..defaults
        };
    }
}
