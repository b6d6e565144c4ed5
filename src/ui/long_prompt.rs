//! Prompts that are too long to be laid out while someone types: how long that is, and what stands in their editor's place.

use super::{theme, widgets};
use crate::protocol::bytes;
use egui::{Label, ScrollArea, Ui};

/// The longest prompt, in bytes, that is laid out in an editor; a longer one is held, but not drawn whole.
pub const LONGEST_EDITED: usize = 20_000;

/// Draws the beginning of `prompt` and a way to clear it.
pub fn show(ui: &mut Ui, prompt: &mut String) {
    let beginning = widgets::clipped(prompt);
    ui.horizontal(|ui| {
        ui.label(theme::title(format!("A prompt of {}", bytes(prompt.len() as u64))));
        if ui.button("Clear the prompt").clicked() {
            prompt.clear();
        }
    });
    ScrollArea::vertical().id_salt("long prompt").auto_shrink(false).min_scrolled_height(0.0).show(ui, |ui| {
        ui.add(Label::new(theme::caption(ui, beginning)).wrap());
    });
}
