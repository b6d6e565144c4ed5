//! An answer drawn as Markdown, block by block: blocks off screen are not drawn again.

use super::icons::Icon;
use super::stream_text::StreamText;
use super::theme::{Palette, STEP};
use super::{bidi, right_to_left, widgets};
use egui::{Label, Layout, Rect, RichText, Ui, vec2};
use egui_commonmark::{CommonMarkCache, CommonMarkViewer};
use std::collections::HashMap;

/// The drawn Markdown of one answer.
#[derive(Default)]
pub struct Markdown {
    cache: CommonMarkCache,
    generation: u64,
    width: f32,
    /// The height of each finished block, once it was drawn.
    heights: Vec<f32>,
    /// The laid-out text of blocks with right-to-left words.
    right_to_left: HashMap<usize, Vec<StreamText>>,
}

impl Markdown {
    /// Draws `text` over the available width. `generation` changes with every new answer.
    pub fn show(&mut self, ui: &mut Ui, text: &str, generation: u64) {
        let width = ui.available_width();
        if generation != self.generation || width != self.width {
            *self = Self { generation, width, ..Self::default() };
        }
        let blocks = blocks(text);
        let last = blocks.len().saturating_sub(1);
        for (place, block) in blocks.into_iter().enumerate() {
            // The last block still grows: its height is not known for good.
            let known = self.heights.get(place).copied().filter(|_| place < last);
            let top = ui.cursor().min;
            if let Some(height) = known
                && !ui.is_rect_visible(Rect::from_min_size(top, vec2(width, height)))
            {
                ui.allocate_space(vec2(width, height));
                continue;
            }
            let drawn = ui.push_id(place, |ui| {
                ui.set_width(width);
                // Bullets and numbers are as high as a line, or they hang beside it.
                ui.spacing_mut().interact_size.y = ui.text_style_height(&egui::TextStyle::Body);
                // Bold text differs in its colour alone.
                let palette = Palette::of(ui);
                let widgets = &mut ui.visuals_mut().widgets;
                widgets.noninteractive.fg_stroke.color = palette.prose;
                widgets.active.fg_stroke.color = palette.strong;
                match fenced_code(block) {
                    Some(code) => code_block(ui, code),
                    None if bidi::is_needed(block) => {
                        right_to_left::block(ui, block, self.right_to_left.entry(place).or_default());
                    }
                    None => {
                        CommonMarkViewer::new().show(ui, &mut self.cache, block);
                    }
                }
            });
            if place < last {
                self.heights.truncate(place);
                self.heights.push(drawn.response.rect.height());
            }
        }
    }
}

/// The code of a block that is one fenced block of code, finished or still growing.
fn fenced_code(block: &str) -> Option<&str> {
    let (opening, code) = block.split_once('\n')?;
    let fence = opening.get(..3).filter(|fence| matches!(*fence, "```" | "~~~"))?;
    Some(code.rsplit_once(fence).map_or(code, |(code, _)| code).trim_end())
}

/// A block of code with a button that copies it.
fn code_block(ui: &mut Ui, code: &str) {
    let palette = Palette::of(ui);
    egui::Frame::new().fill(palette.sunken).corner_radius(6).inner_margin(STEP).show(ui, |ui| {
        ui.with_layout(Layout::right_to_left(egui::Align::Min), |ui| {
            if widgets::icon_button(ui, Icon::Copy, "Copy the code", true).clicked() {
                ui.ctx().copy_text(code.to_owned());
            }
            ui.with_layout(Layout::top_down(egui::Align::Min), |ui| {
                ui.add(Label::new(RichText::new(code).monospace()).wrap().selectable(true));
            });
        });
    });
}

/// `text` cut at blank lines and around fenced blocks of code, but never within one or within a list.
fn blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut start = 0;
    let mut place = 0;
    let mut is_fenced = false;
    let mut was_blank = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let is_inner = line.starts_with([' ', '\t']) || is_list_item(trimmed);
        let is_fence = line.starts_with("```") || line.starts_with("~~~");
        let begins = is_fence || (was_blank && !is_inner && !trimmed.trim_end().is_empty());
        if begins && !is_fenced && start < place {
            blocks.push(&text[start..place]);
            start = place;
        }
        place += line.len();
        was_blank = trimmed.trim_end().is_empty();
        if is_fence {
            is_fenced = !is_fenced;
            if !is_fenced {
                blocks.push(&text[start..place]);
                start = place;
            }
        }
    }
    if start < text.len() {
        blocks.push(&text[start..]);
    }
    blocks
}

fn is_list_item(line: &str) -> bool {
    let after_digits = line.trim_start_matches(|character: char| character.is_ascii_digit());
    line.starts_with("- ")
        || line.starts_with("* ")
        || line.starts_with("+ ")
        || (after_digits.len() < line.len() && after_digits.starts_with(['.', ')']))
}
