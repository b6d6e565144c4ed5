//! What several sheets are made of: the title, and a list's lines.

use crate::state::Show;
use crate::ui::icons::Icon;
use crate::ui::scene::Scene;
use crate::ui::theme::{self, STEP};
use crate::ui::widgets;
use egui::accesskit::Role;
use egui::{Align, CornerRadius, Layout, Sense, Ui, UiBuilder, WidgetInfo};

/// A sheet's title with its close button.
pub fn heading(ui: &mut Ui, scene: &mut Scene<'_>, title: &str) {
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
pub fn choice(ui: &mut Ui, name: &str, is_chosen: bool, contents: impl FnOnce(&mut Ui)) -> bool {
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
