//! The question before another model takes the place of one that is at work.

use super::parts::heading;
use crate::protocol::ModelSource;
use crate::state::{ModelAction, Show, short_name};
use crate::ui::scene::Scene;
use crate::ui::theme::STEP;
use crate::ui::widgets;
use egui::{Button, Label, Ui, vec2};

/// Draws the question about loading `source`.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, source: &ModelSource) {
    heading(ui, scene, "Stop what is running?");
    let words = format!(
        "Loading {} stops the sessions that are running now. What they gave so far is kept under Recent runs.",
        short_name(source)
    );
    ui.add(Label::new(words).wrap());
    ui.add_space(STEP);
    ui.horizontal(|ui| {
        if widgets::stop_button(ui, "Stop and load", true, vec2(128.0, 32.0)).clicked() {
            scene.show(Show::Sheet(None));
            scene.model(ModelAction::ChooseAnyway(source.clone()));
        }
        if ui.add(Button::new("Keep running").min_size(vec2(128.0, 32.0))).clicked() {
            scene.show(Show::Sheet(None));
        }
    });
}
