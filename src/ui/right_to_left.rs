//! Markdown with right-to-left words, which its own layout would set from left to right; and prompts in the order in
//! which they are read, below the editors that can't show it.

use super::bidi;
use super::long_prompt::LONGEST_EDITED;
use super::stream_text::StreamText;
use super::theme::{self, DOUBLE, Palette, SMALL_SIZE, STEP};
use egui::{FontId, ScrollArea, Ui};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Height of the words below an editor.
const PREVIEW_HEIGHT: f32 = 2.0 * DOUBLE;

/// The most bytes of a prompt that are shown below its editor.
const PREVIEW_LENGTH: usize = 2000;

/// The room that [`preview`] takes below the editor of `text`, the step between them included.
pub fn preview_height(text: &str) -> f32 {
    if has_preview(text) { PREVIEW_HEIGHT + STEP } else { 0.0 }
}

/// A prompt that is too long for an editor has neither.
fn has_preview(text: &str) -> bool {
    text.len() <= LONGEST_EDITED && bidi::is_needed(text)
}

/// Draws `text` in the order in which it is read, where that is not the order in which its editor shows it.
pub fn preview(ui: &mut Ui, text: &str) {
    if !has_preview(text) {
        return;
    }
    let end = text.char_indices().map(|(place, _)| place).take_while(|place| *place <= PREVIEW_LENGTH).last();
    let beginning = if text.len() > PREVIEW_LENGTH { &text[..end.unwrap_or(0)] } else { text };
    let scroll = ScrollArea::vertical().id_salt("as it is read").auto_shrink(false).max_height(PREVIEW_HEIGHT);
    scroll.min_scrolled_height(0.0).show(ui, |ui| {
        let font = FontId::proportional(SMALL_SIZE);
        StreamText::default().show(ui, beginning, 0, &font, Palette::of(ui).weak);
    });
}

/// Draws one block of Markdown: headings, lists, paragraphs. `texts` keeps what was laid out.
pub fn block(ui: &mut Ui, block: &str, texts: &mut Vec<StreamText>) {
    let pieces = pieces(block);
    texts.resize_with(pieces.len(), StreamText::default);
    let color = Palette::of(ui).text;
    for (place, (Piece { level, depth, text }, laid_out)) in pieces.iter().zip(texts).enumerate() {
        let font = match level {
            Some(HeadingLevel::H1) => theme::semibold(theme::HEADING_SIZE),
            Some(_) => theme::semibold(theme::BODY_SIZE),
            None => FontId::proportional(theme::BODY_SIZE),
        };
        // While Markdown grows, a mark's end changes what came before it.
        let mut revision = DefaultHasher::new();
        text.hash(&mut revision);
        ui.push_id(place, |ui| {
            ui.set_max_width(ui.available_width() - DOUBLE * *depth as f32);
            laid_out.show(ui, text, revision.finish(), &font, color);
        });
    }
}

/// A heading, a paragraph, or an item of a list.
#[derive(Debug, Default, PartialEq)]
struct Piece {
    /// Of a heading.
    level: Option<HeadingLevel>,
    /// How many lists it lies in, the outermost one not counted.
    depth: usize,
    text: String,
}

fn pieces(block: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    // The number that the next item of each open list has.
    let mut lists: Vec<Option<u64>> = Vec::new();
    let mut piece = Piece::default();
    for event in Parser::new_ext(block, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => piece.level = Some(level),
            Event::Start(Tag::List(first)) => {
                end(&mut pieces, &mut piece, &lists);
                lists.push(first);
            }
            Event::End(TagEnd::List(_)) => {
                end(&mut pieces, &mut piece, &lists);
                lists.pop();
            }
            Event::Start(Tag::Item) => {
                piece.text = match lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                }
            }
            Event::End(
                TagEnd::Heading(_)
                | TagEnd::Paragraph
                | TagEnd::Item
                | TagEnd::TableHead
                | TagEnd::TableRow
                | TagEnd::CodeBlock,
            ) => end(&mut pieces, &mut piece, &lists),
            Event::Start(Tag::TableCell) if !piece.text.is_empty() => piece.text.push_str(" | "),
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
                piece.text.push_str(&text);
            }
            Event::SoftBreak => piece.text.push(' '),
            Event::HardBreak => piece.text.push('\n'),
            _ => {}
        }
    }
    end(&mut pieces, &mut piece, &lists);
    pieces
}

fn end(pieces: &mut Vec<Piece>, piece: &mut Piece, lists: &[Option<u64>]) {
    let ended = std::mem::take(piece);
    if !ended.text.trim().is_empty() {
        pieces.push(Piece { depth: lists.len().saturating_sub(1), ..ended });
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, pieces};
    use pulldown_cmark::HeadingLevel;

    fn texts(block: &str) -> Vec<String> {
        pieces(block).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn marks_are_taken_out_and_items_keep_their_bullets_and_numbers() {
        assert_eq!(texts("שלום **עולם** `abc`\nעוד"), ["שלום עולם abc עוד"]);
        assert_eq!(texts("- אחת\n- שתים"), ["• אחת", "• שתים"]);
        assert_eq!(texts("3. אחת\n4. שתים"), ["3. אחת", "4. שתים"]);
        assert_eq!(texts("| א | ב |\n|---|---|\n| ג | ד |"), ["א | ב", "ג | ד"]);
    }

    #[test]
    fn headings_and_lists_within_lists_are_told_apart() {
        let heading = Piece { level: Some(HeadingLevel::H2), depth: 0, text: "כותרת".into() };
        assert_eq!(pieces("## כותרת\n"), [heading]);
        let depths: Vec<usize> = pieces("- אחת\n  - שתים\n- שלוש").iter().map(|piece| piece.depth).collect();
        assert_eq!(depths, [0, 1, 0]);
    }

    #[test]
    fn a_growing_block_gives_all_of_its_letters_at_every_length() {
        let block = "# כותרת\n\nשלום **עולם** (12).\n\n- פריט";
        for (end, _) in block.char_indices() {
            let letters = |text: &str| text.chars().filter(|character| ('א'..='ת').contains(character)).count();
            assert_eq!(texts(&block[..end]).iter().map(|text| letters(text)).sum::<usize>(), letters(&block[..end]));
        }
    }
}
