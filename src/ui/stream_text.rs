//! Text that grows: what is finished is laid out once, and only what is on screen is painted.

use super::bidi;
use super::theme::STEP;
use egui::accesskit::Role;
use egui::text::{CCursor, LayoutJob, TextFormat};
use egui::text_selection::LabelSelectionState;
use egui::{Align, Color32, FontId, Galley, Pos2, Rect, Sense, Stroke, Ui, WidgetInfo, vec2};
use std::ops::Range;
use std::sync::Arc;
use unicode_bidi::{Direction, Level, get_base_direction};

/// The longest text that is laid out again and again while it grows, in bytes.
const TAIL: usize = 512;

/// How much of a long paragraph is laid out at once, in bytes.
const CHUNK: usize = 2048;

/// A stretch of a text that stands out.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Which bytes of the text.
    pub range: Range<usize>,
    /// Behind it.
    pub fill: Color32,
    /// Under it.
    pub line: Color32,
    /// What it stands for, for those who can't see it.
    pub name: String,
}

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
    /// What follows `finished`.
    tail: Option<Piece>,
    /// The text's length when the tail was laid out.
    length: Option<usize>,
    mark: Option<Mark>,
    /// The mark is new and has to be brought to where it can be seen.
    seeks_mark: bool,
}

/// One or more rows.
struct Piece {
    galley: Arc<Galley>,
    left: f32,
    top: f32,
    /// Where its text begins, in bytes of the whole text.
    start: usize,
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
        self.show_mark(ui, text, rect.min);
        response
    }

    /// Makes a stretch of the text stand out from the next [`StreamText::show`] on.
    pub fn mark(&mut self, mark: Option<Mark>) {
        if self.mark != mark {
            *self = Self { seeks_mark: mark.is_some(), mark, ..Self::default() };
        }
    }

    /// Names the mark, and scrolls to it once.
    fn show_mark(&mut self, ui: &Ui, text: &str, origin: Pos2) {
        let Some(mark) = &self.mark else { return };
        let place = self.pieces.partition_point(|piece| piece.start <= mark.range.start).checked_sub(1);
        let piece = place.and_then(|place| self.pieces.get(place));
        let tail = self.tail.as_ref().filter(|_| mark.range.start >= self.finished);
        let Some(Piece { galley, left, top, start }) = tail.or(piece) else { return };
        let Some(before) = text.get(*start..mark.range.start) else { return };
        let cursor = galley.pos_from_cursor(CCursor::new(before.chars().count()));
        let rect = cursor.translate(origin.to_vec2() + vec2(*left, *top)).expand2(vec2(STEP, 0.0));
        let response = ui.interact(rect, ui.scope_id().with("mark"), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &mark.name));
        if std::mem::take(&mut self.seeks_mark) {
            ui.scroll_to_rect(rect, Some(Align::Center));
        }
    }

    fn height(&self) -> f32 {
        self.tail.as_ref().map_or_else(|| self.finished_height(), Piece::bottom)
    }

    fn finished_height(&self) -> f32 {
        self.pieces.last().map_or(0.0, Piece::bottom)
    }

    fn paint(&self, ui: &Ui, origin: Pos2, visible: Rect, color: Color32) {
        let first = self.pieces.partition_point(|piece| origin.y + piece.bottom() < visible.top());
        let on_screen = self.pieces.iter().chain(&self.tail).enumerate().skip(first);
        for (place, piece) in on_screen.take_while(|(_, piece)| origin.y + piece.top <= visible.bottom()) {
            paint_selectable(ui, place, origin + vec2(piece.left, piece.top), &piece.galley, color);
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
            let (mark, seeks_mark) = (self.mark.take(), self.seeks_mark);
            let font = Some(font.clone());
            *self = Self { width, revision, font, probe: Some(probe), mark, seeks_mark, ..Self::default() };
        }
        if self.length == Some(text.len()) {
            return;
        }
        self.tail = None;
        while let Some(rest) = text.get(self.finished..) {
            let end = rest.find('\n');
            let paragraph = &rest[..end.unwrap_or(rest.len())];
            match end {
                _ if bidi::is_needed(&paragraph[..floor_boundary(paragraph, CHUNK)]) => {
                    let mut rows = self.right_to_left(ui, paragraph, base_before(&text[..self.finished]));
                    // Only the last row can still change.
                    let open = if end.is_none() { rows.pop() } else { None };
                    self.pieces.append(&mut rows);
                    match open {
                        None => self.finished += paragraph.len() + 1,
                        Some(row) => {
                            self.finished = row.start;
                            self.tail = Some(row);
                            break;
                        }
                    }
                }
                Some(end) if end <= CHUNK => self.finish(ui, paragraph, end + 1),
                _ if rest.len() > TAIL => self.finish_rows(ui, paragraph),
                _ => {
                    let galley = self.galley(ui, rest);
                    let top = self.finished_height();
                    self.tail = Some(Piece { galley, left: 0.0, top, start: self.finished });
                    break;
                }
            }
        }
        self.length = Some(text.len());
    }

    /// The rows of a paragraph with right-to-left words. `base` is the direction that the paragraph has already.
    fn right_to_left(&self, ui: &Ui, text: &str, base: Option<Level>) -> Vec<Piece> {
        let paragraph = bidi::Paragraph::new(text, base);
        let mut top = self.finished_height();
        let mut rows = Vec::new();
        for row in self.wrap(ui, text) {
            let start = row.start;
            let end = start + text[row.clone()].trim_end().len();
            let galley = self.unwrapped(ui, &paragraph.row(start..end));
            let left = if paragraph.base().is_rtl() { (self.width - galley.size().x).max(0.0) } else { 0.0 };
            let piece = Piece { galley, left, top, start: self.finished + start };
            top = piece.bottom();
            rows.push(piece);
        }
        rows
    }

    /// Cuts a paragraph into rows, by words in the order in which they are read.
    fn wrap(&self, ui: &Ui, text: &str) -> Vec<Range<usize>> {
        let width_of = |words: &str| self.unwrapped(ui, words).size().x;
        let space = width_of(" ");
        let mut rows = Vec::new();
        let (mut start, mut place, mut used) = (0, 0, 0.0);
        for word in text.split_inclusive(' ') {
            let width = width_of(word.trim_end());
            if used + width > self.width && start < place {
                rows.push(start..place);
                (start, used) = (place, 0.0);
            }
            let mut rest = word;
            if width > self.width {
                // Wider than a row: cut where the row would end if all characters were of the same width.
                let characters = word.chars().count() as f32;
                let fitting = ((characters * self.width / width * 0.9) as usize).max(1);
                while let Some((cut, _)) = rest.char_indices().nth(fitting) {
                    rows.push(start..start + cut);
                    start += cut;
                    rest = &rest[cut..];
                }
            }
            used += if rest.len() < word.len() { width_of(rest.trim_end()) } else { width } + space;
            place += word.len();
        }
        rows.push(start..text.len());
        rows
    }

    /// Finishes one whole paragraph; `length` counts its line break too.
    fn finish(&mut self, ui: &Ui, paragraph: &str, length: usize) {
        let galley = self.galley(ui, paragraph);
        let piece = Piece { galley, left: 0.0, top: self.finished_height(), start: self.finished };
        self.pieces.push(piece);
        self.finished += length;
    }

    /// Finishes all rows but the last of the beginning of a long paragraph: only the last one can still change.
    fn finish_rows(&mut self, ui: &Ui, paragraph: &str) {
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

    /// Lays out `text`, which begins where the finished pieces end.
    fn galley(&self, ui: &Ui, text: &str) -> Arc<Galley> {
        let plain = TextFormat::simple(self.font.clone().unwrap_or_default(), Color32::PLACEHOLDER);
        let mut job = LayoutJob { break_on_newline: false, ..LayoutJob::default() };
        job.wrap.max_width = self.width;
        let place = |byte: usize| byte.saturating_sub(self.finished).min(text.len());
        let marked = self.mark.as_ref().map(|mark| (place(mark.range.start)..place(mark.range.end), mark));
        match marked {
            Some((range, mark)) if text.get(range.clone()).is_some_and(|text| !text.is_empty()) => {
                let standing_out =
                    TextFormat { background: mark.fill, underline: Stroke::new(2.0, mark.line), ..plain.clone() };
                job.append(&text[..range.start], 0.0, plain.clone());
                job.append(&text[range.clone()], 0.0, standing_out);
                job.append(&text[range.end..], 0.0, plain);
            }
            _ => job.append(text, 0.0, plain),
        }
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    }

    fn unwrapped(&self, ui: &Ui, text: &str) -> Arc<Galley> {
        let font = self.font.clone().unwrap_or_default();
        let mut job = LayoutJob::simple(text.to_owned(), font, Color32::PLACEHOLDER, f32::INFINITY);
        job.break_on_newline = false;
        ui.fonts_mut(|fonts| fonts.layout_job(job))
    }
}

/// The direction of the paragraph that goes on after `text`; none where it has none yet.
fn base_before(text: &str) -> Option<Level> {
    let paragraph = &text[text.rfind('\n').map_or(0, |end| end + 1)..];
    match get_base_direction(paragraph) {
        Direction::Ltr => Some(Level::ltr()),
        Direction::Rtl => Some(Level::rtl()),
        Direction::Mixed => None,
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
