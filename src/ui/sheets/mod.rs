//! The sheets over the window, one file each.

mod confirm;
mod models;
mod presets;
mod recent;
mod settings;
mod shortcuts;

use super::icons::Icon;
use super::scene::Scene;
use super::theme::{self, SHEET_WIDTH, STEP};
use super::widgets;
use crate::state::{Sheet, Show};
use egui::{Align, Id, Layout, Modal, Ui};

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

/// A sheet's title with its close button.
fn heading(ui: &mut Ui, scene: &mut Scene<'_>, title: &str) {
    ui.horizontal(|ui| {
        ui.heading(title);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::icon_button(ui, Icon::Close, "Close", true).clicked() {
                scene.show(Show::Sheet(None));
            }
        });
    });
    ui.add_space(STEP);
}

/// A line of a list that can be chosen: a title, a detail below, and badges on the right. Returns whether it was.
fn choice(ui: &mut Ui, name: &str, is_chosen: bool, contents: impl FnOnce(&mut Ui)) -> bool {
    use egui::accesskit::Role;
    use egui::{CornerRadius, Sense, UiBuilder, WidgetInfo};
    let palette = theme::Palette::of(ui);
    let builder = UiBuilder::new().sense(Sense::click());
    let place = ui.painter().add(egui::Shape::Noop);
    let response = ui
        .scope_builder(builder, |ui| {
            egui::Frame::new().inner_margin(egui::Margin::symmetric(12, 8)).show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.spacing_mut().item_spacing.y = 2.0;
                contents(ui);
            });
        })
        .response;
    response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), is_chosen, name));
    let fill = if is_chosen {
        palette.accent_faint
    } else if response.hovered() || response.has_focus() {
        palette.control
    } else {
        palette.sunken
    };
    ui.painter().set(place, egui::Shape::rect_filled(response.rect, CornerRadius::same(6), fill));
    response.clicked()
}
