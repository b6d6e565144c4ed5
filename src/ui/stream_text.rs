//! Text that grows: what is finished is laid out once, and only what is on screen is painted.

use egui::accesskit::Role;
use egui::text::LayoutJob;
use egui::text_selection::LabelSelectionState;
use egui::{Color32, FontId, Galley, Pos2, Rect, Sense, Stroke, Ui, WidgetInfo, vec2};
use std::sync::Arc;

/// The longest text that is laid out again and again while it grows, in bytes.
const TAIL: usize = 512;

/// How much of a long paragraph is laid out at once, in bytes.
const CHUNK: usize = 2048;

/// The laid-out text of one place in the window.
#[derive(Default)]
pub struct StreamText {
    width: f32,
    font: Option<FontId>,
    revision: u64,
    /// A galley that egui keeps as long as the font texture is the same; ours point into that texture too.
    probe: Option<Arc<Galley>>,
    pieces: Vec<Piece>,
    /// Bytes of the text that are in `pieces`.
    finished: usize,
    /// What follows `finished`, and the text's length when it was laid out.
    tail: Option<(Arc<Galley>, usize)>,
}

/// One or more finished rows.
struct Piece {
    galley: Arc<Galley>,
    top: f32,
}

impl Piece {
    fn bottom(&self) -> f32 {
        self.top + self.galley.size().y
    }
}

impl StreamText {
    /// Draws `text` over the available width and returns what it allocated. `revision` has to change whenever
    /// the text changed in another way than by growing.
    pub fn show(&mut self, ui: &mut Ui, text: &str, revision: u64, font: &FontId, color: Color32) -> egui::Response {
        self.lay_out(ui, text, revision, font);
        let size = vec2(ui.available_width(), self.height());
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
        let visible = ui.clip_rect().intersect(rect);
        if visible.is_positive() {
            self.paint(ui, rect.min, visible, color);
        }
        response
    }

    fn height(&self) -> f32 {
        self.finished_height() + self.tail.as_ref().map_or(0.0, |(galley, _)| galley.size().y)
    }

    fn finished_height(&self) -> f32 {
        self.pieces.last().map_or(0.0, Piece::bottom)
    }

    fn paint(&self, ui: &Ui, origin: Pos2, visible: Rect, color: Color32) {
        let first = self.pieces.partition_point(|piece| origin.y + piece.bottom() < visible.top());
        let on_screen = self.pieces.iter().enumerate().skip(first);
        for (place, piece) in on_screen.take_while(|(_, piece)| origin.y + piece.top <= visible.bottom()) {
            paint_selectable(ui, place, origin + vec2(0.0, piece.top), &piece.galley, color);
        }
        if let Some((galley, _)) = &self.tail {
            paint_selectable(ui, self.pieces.len(), origin + vec2(0.0, self.finished_height()), galley, color);
        }
    }

    fn lay_out(&mut self, ui: &Ui, text: &str, revision: u64, font: &FontId) {
        let width = ui.available_width().max(32.0).floor();
        let probe = ui.fonts_mut(|fonts| fonts.layout_no_wrap("probe".into(), font.clone(), Color32::PLACEHOLDER));
        let is_same_texture = self.probe.as_ref().is_some_and(|known| Arc::ptr_eq(known, &probe));
        if !is_same_texture
            || width != self.width
            || revision != self.revision
            || self.font.as_ref() != Some(font)
            || text.len() < self.finished
        {
            *self = Self { width, revision, font: Some(font.clone()), probe: Some(probe), ..Self::default() };
        }
        if self.tail.as_ref().is_some_and(|(_, length)| *length == text.len()) {
            return;
        }
        self.tail = None;
        while let Some(rest) = text.get(self.finished..) {
            match rest.find('\n') {
                Some(end) if end <= CHUNK => self.finish(ui, &rest[..end], end + 1),
                _ if rest.len() > TAIL => self.finish_rows(ui, rest),
                _ => {
                    self.tail = Some((self.galley(ui, rest), text.len()));
                    break;
                }
            }
        }
    }

    /// Finishes one whole paragraph; `length` counts its line break too.
    fn finish(&mut self, ui: &Ui, paragraph: &str, length: usize) {
        let piece = Piece { galley: self.galley(ui, paragraph), top: self.finished_height() };
        self.pieces.push(piece);
        self.finished += length;
    }

    /// Finishes all rows but the last of the beginning of a long paragraph: only the last one can still change.
    fn finish_rows(&mut self, ui: &Ui, rest: &str) {
        let paragraph = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let mut length = CHUNK.min(paragraph.len());
        loop {
            let chunk = &paragraph[..floor_boundary(paragraph, length)];
            let galley = self.galley(ui, chunk);
            let rows = galley.rows.len();
            if rows > 1 {
                let characters: usize =
                    galley.rows[..rows - 1].iter().map(|row| row.char_count_including_newline().0).sum();
                let end = chunk.char_indices().nth(characters).map_or(chunk.len(), |(place, _)| place);
                return self.finish(ui, &chunk[..end], end);
            }
            if chunk.len() == paragraph.len() {
                // One row only, however wide: nothing can be split off.
                return self.finish(ui, chunk, chunk.len());
            }
            length *= 2;
        }
    }

    fn galley(&self, ui: &Ui, text: &str) -> Arc<Galley> {
        let font = self.font.clone().unwrap_or_default();
        let mut job = LayoutJob::simple(text.to_owned(), font, Color32::PLACEHOLDER, self.width);
        job.break_on_newline = false;
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    }
}

fn paint_selectable(ui: &Ui, place: usize, position: Pos2, galley: &Arc<Galley>, color: Color32) {
    let rect = Rect::from_min_size(position, galley.size());
    let sense = Sense::click_and_drag() - Sense::FOCUSABLE;
    let response = ui.interact(rect, ui.scope_id().with(("text", place)), sense);
    LabelSelectionState::label_text_selection(ui, &response, position, galley.clone(), color, Stroke::NONE);
}

/// The last character boundary at or before `length`, but at least one character.
fn floor_boundary(text: &str, length: usize) -> usize {
    let mut end = length.min(text.len());
    while end > 0 && !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == 0 { text.chars().next().map_or(0, char::len_utf8) } else { end }
}
