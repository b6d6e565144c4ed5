//! Right-to-left text in the order in which it is read. egui shapes every word rightly, but sets words from left to
//! right; this puts the words of a row into the order in which they stand on screen.

use std::ops::Range;
use unicode_bidi::{BidiInfo, Level};

/// Whether `text` has letters that are read from right to left.
pub fn is_needed(text: &str) -> bool {
    // Hebrew to Arabic Extended-A, their presentation forms, the old scripts and those of the last plane.
    text.chars().any(|character| {
        matches!(character, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    })
}

/// One paragraph's directions.
pub struct Paragraph<'a> {
    info: BidiInfo<'a>,
}

impl<'a> Paragraph<'a> {
    /// Reads the directions of `text`, which has no line break; `base` is its own where it goes on from an earlier row.
    pub fn new(text: &'a str, base: Option<Level>) -> Self {
        Self { info: BidiInfo::new(text, base) }
    }

    /// The direction that the paragraph as a whole has.
    pub fn base(&self) -> Level {
        self.info.paragraphs.first().map_or_else(Level::ltr, |paragraph| paragraph.level)
    }

    /// The words of one row, from left to right as they stand on screen.
    pub fn row(&self, row: Range<usize>) -> String {
        let text = &self.info.text[row.clone()];
        let Some(paragraph) = self.info.paragraphs.first() else { return text.to_owned() };
        let (levels, runs) = self.info.visual_runs(paragraph, row);
        let mut shown = String::with_capacity(text.len());
        for run in runs {
            let is_left_to_right = levels.get(run.start).is_none_or(Level::is_ltr);
            let part = &self.info.text[run];
            if is_left_to_right {
                numbered(part, &mut shown);
            } else {
                turned(part, &mut shown);
            }
        }
        shown
    }
}

/// Appends the words and signs of a right-to-left run, last one first. A word stays as it is: shaping turns it.
fn turned(run: &str, shown: &mut String) {
    let mut units: Vec<&str> = Vec::new();
    let mut start = 0;
    for (place, character) in run.char_indices() {
        let end = place + character.len_utf8();
        if !is_shaped_together(character) {
            units.push(&run[start..place]);
            units.push(&run[place..end]);
            start = end;
        }
    }
    units.push(&run[start..]);
    for unit in units.into_iter().rev() {
        match mirrored(unit) {
            Some(sign) => shown.push_str(sign),
            None => shown.push_str(unit),
        }
    }
}

/// Appends a left-to-right run. Shaping turns the digits of right-to-left scripts too, though they are read from left
/// to right: here they are turned before.
fn numbered(run: &str, shown: &mut String) {
    let is_digit =
        |character: char| matches!(character, '\u{660}'..='\u{669}' | '\u{66b}' | '\u{66c}' | '\u{6f0}'..='\u{6f9}');
    let mut rest = run;
    while let Some(start) = rest.find(is_digit) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|character| !is_digit(character)).unwrap_or(number.len());
        shown.push_str(before);
        shown.extend(number[..end].chars().rev());
        rest = &number[end..];
    }
    shown.push_str(rest);
}

/// Whether egui shapes the character together with the right-to-left letters beside it: the text font, which has none
/// of them, has no sign of its own for it either.
fn is_shaped_together(character: char) -> bool {
    character >= '\u{590}' && !matches!(character, '\u{2000}'..='\u{2bff}')
}

/// Brackets face the other way among right-to-left words.
fn mirrored(sign: &str) -> Option<&'static str> {
    const PAIRS: [(&str, &str); 5] = [("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("«", "»")];
    PAIRS.iter().find_map(|(open, close)| match sign {
        _ if sign == *open => Some(*close),
        _ if sign == *close => Some(*open),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Paragraph, is_needed};

    fn shown(text: &str) -> String {
        Paragraph::new(text, None).row(0..text.len())
    }

    #[test]
    fn words_stand_from_right_to_left_and_numbers_and_foreign_words_do_not() {
        assert_eq!(shown("אחת שתים שלוש"), "שלוש שתים אחת");
        assert_eq!(shown("אחת (שתים) 12 MLX שלוש."), ".שלוש MLX 12 (שתים) אחת");
        assert_eq!(shown("one two שתים אחת three"), "one two אחת שתים three");
    }

    #[test]
    fn digits_of_right_to_left_scripts_are_turned_for_shaping_to_turn_back() {
        assert_eq!(shown("أرقام ١٢٣ و 456"), "456 و ٣٢١ أرقام");
    }

    #[test]
    fn text_that_is_read_from_left_to_right_is_left_alone() {
        for text in ["plain", "日本語 हिन्दी 🙂", ""] {
            assert!(!is_needed(text));
            assert_eq!(shown(text), text);
        }
        assert!(is_needed("مرحبا") && is_needed("a שלום"));
    }

    #[test]
    fn no_character_gets_lost() {
        let text = "مرحبا \u{200f}\u{200d}\u{feff} (שלום) 👩‍👩‍👧 abc 123";
        let sorted = |text: &str| {
            let mut characters: Vec<char> = text.chars().collect();
            characters.sort_unstable();
            characters
        };
        assert_eq!(sorted(&shown(text)), sorted(text));
    }
}
