//! The example prompts.

use super::parts::{choice, heading};
use crate::state::{Show, View};
use crate::ui::scene::Scene;
use crate::ui::theme::{self, Palette};
use crate::ui::widgets;
use egui::{Align, Layout, ScrollArea, Sense, Ui, vec2};

/// The most characters of a prompt that two lines can show.
const SHOWN: usize = 160;

/// Draws the list; choosing one sets the prompt and the switches.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    heading(ui, scene, "Example prompts");
    let presets = &scene.state.presets;
    ScrollArea::vertical().max_height(ui.available_height() - 64.0).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        for preset in presets {
            let words: String = preset.prompt.chars().take(SHOWN).collect();
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            let chosen = choice(ui, &words, scene.settings.single.prompt == preset.prompt, |ui| {
                let row = vec2(ui.available_width(), 40.0);
                ui.allocate_ui_with_layout(row, Layout::right_to_left(Align::Center), |ui| {
                    let palette = Palette::of(ui);
                    let badges: Vec<_> = preset.badges().collect();
                    for badge in badges.into_iter().rev() {
                        widgets::badge(ui, badge, palette.accent_text, palette.accent_faint);
                    }
                    two_lines(ui, &words);
                });
            });
            if chosen {
                let single = &mut scene.settings.single;
                single.prompt = preset.prompt.clone();
                single.thinking = preset.thinking;
                single.tools = preset.tools;
                scene.settings.view = View::Single;
                scene.show(Show::Sheet(None));
            }
        }
    });
}

/// At most two lines of `words` in the room that is left.
fn two_lines(ui: &mut Ui, words: &str) {
    let room = ui.available_size();
    let font = egui::FontId::proportional(theme::BODY_SIZE);
    let mut job = egui::text::LayoutJob::simple(words.to_owned(), font, Palette::of(ui).text, room.x);
    job.wrap.max_rows = 2;
    let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
    let (rect, _) = ui.allocate_exact_size(room, Sense::hover());
    ui.painter().galley(rect.left_center() - vec2(0.0, galley.size().y / 2.0), galley, Palette::of(ui).text);
}
