//! The sheets over the window, one file each.

mod confirm;
mod models;
mod parts;
mod presets;
mod recent;
mod settings;
mod shortcuts;

use super::scene::Scene;
use super::theme::SHEET_WIDTH;
use crate::state::{Sheet, Show};
use egui::{Id, Modal, Ui};

pub use models::ModelsSheet;

/// What the sheets remember from frame to frame.
#[derive(Default)]
pub struct SheetInput {
    /// The hub id being typed.
    pub models: ModelsSheet,
}

/// Draws the open sheet, if one is.
pub fn show(ui: &Ui, scene: &mut Scene<'_>, input: &mut SheetInput) {
    let Some(sheet) = scene.state.sheet.clone() else { return };
    let frame = egui::Frame::window(ui.style()).inner_margin(24.0);
    let response = Modal::new(Id::unique("sheet")).frame(frame).show(ui.ctx(), |ui| {
        let room = ui.ctx().content_rect().size();
        ui.set_width(SHEET_WIDTH.min(room.x - 96.0));
        ui.set_max_height(room.y - 128.0);
        match &sheet {
            Sheet::Models => models::show(ui, scene, &mut input.models),
            Sheet::Presets => presets::show(ui, scene),
            Sheet::RecentRuns => recent::show(ui, scene),
            Sheet::Settings => settings::show(ui, scene),
            Sheet::Shortcuts => shortcuts::show(ui, scene),
            Sheet::ConfirmModel(source) => confirm::show(ui, scene, source),
        }
    });
    if response.should_close() {
        scene.show(Show::Sheet(None));
    }
}
