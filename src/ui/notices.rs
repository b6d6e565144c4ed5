//! Messages that stay over the middle until they are read.

use super::icons::Icon;
use super::scene::Scene;
use super::theme::{CONTROL_HEIGHT, DOUBLE, Palette, STEP};
use super::widgets;
use crate::state::{Show, Tone};
use egui::{Align, CornerRadius, Frame, Label, Layout, Margin, RichText, Ui, vec2};

/// Draws the messages, the newest last.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let palette = Palette::of(ui);
    for (place, notice) in scene.state.notices.iter().enumerate() {
        let (fill, color) = match notice.tone {
            Tone::Info => (palette.accent_faint, palette.text),
            Tone::Problem => (palette.bad_faint, palette.bad),
        };
        let margin = Margin { left: DOUBLE as i8, right: STEP as i8, top: 4, bottom: 4 };
        Frame::new().fill(fill).corner_radius(CornerRadius::same(6)).inner_margin(margin).show(ui, |ui| {
            let row = vec2(ui.available_width(), CONTROL_HEIGHT - 4.0);
            ui.allocate_ui_with_layout(row, Layout::right_to_left(Align::Center), |ui| {
                if widgets::icon_button(ui, Icon::Close, "Dismiss the message", true).clicked() {
                    scene.show(Show::DismissNotice(place));
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.add(Label::new(RichText::new(&notice.text).color(color)).wrap().selectable(true));
                });
            });
        });
    }
}
