//! Splits an answer into words, thoughts and tool calls while it comes.

use super::dialect::{Dialect, Section};
use super::tool_calls;
use crate::protocol::Segment;
use std::mem;

/// Reads an answer piece by piece. What may be the beginning of a marker is held back, no more; white space next to a
/// marker belongs to the marker. A text without markers comes out unchanged.
#[derive(Clone, Debug)]
pub struct Segmenter {
    dialect: Dialect,
    region: Region,
    /// White space that is shown if words follow and dropped if a marker does.
    spaces: String,
    /// What may be the beginning of a marker.
    held: String,
    /// Whether a marker stands right before.
    is_after_marker: bool,
    /// Whether the answer may still turn out to be a tool call without markers.
    may_be_bare_call: bool,
}

/// Where in the answer the next piece falls.
#[derive(Clone, Debug, PartialEq)]
enum Region {
    Words,
    Thoughts(Section),
    /// A call's text so far. A call without markers has no section.
    Call(Option<Section>, String),
}

/// The first words of a tool call without markers.
const BARE_CALLS: [&str; 3] = ["{\"name\":", "{\"type\":\"function\"", "{\"function\":"];

impl Segmenter {
    /// Starts an answer to `prompt`, which decides whether the answer begins inside of a thought. A call without
    /// markers is only looked for where `has_tools`.
    pub(super) fn new(dialect: Dialect, prompt: &str, has_tools: bool) -> Self {
        let thoughts = dialect.open_thinking(prompt);
        Self {
            may_be_bare_call: has_tools && dialect.has_bare_calls && thoughts.is_none(),
            is_after_marker: thoughts.is_some(),
            region: thoughts.map_or(Region::Words, Region::Thoughts),
            dialect,
            spaces: String::new(),
            held: String::new(),
        }
    }

    /// Takes the next piece of the answer.
    pub fn push(&mut self, piece: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut rest = mem::take(&mut self.held) + piece;
        while !rest.is_empty() {
            rest = match self.region.clone() {
                Region::Call(section, payload) => self.read_call(section, payload, rest, &mut segments),
                _ => self.read_words(rest, &mut segments),
            };
        }
        segments
    }

    /// What was held back. A call that never ended is given if it is whole, else as the words that came.
    pub fn finish(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        if let Region::Call(section, payload) = self.region.clone() {
            self.region = Region::Words;
            self.end_call(section, &payload, "", &mut segments);
        }
        let held = mem::take(&mut self.held);
        self.show(&held, &mut segments);
        if !self.is_after_marker {
            let spaces = mem::take(&mut self.spaces);
            self.append(spaces, &mut segments);
        }
        segments
    }

    /// Reads words or thoughts up to a marker; gives back what follows it.
    fn read_words(&mut self, text: String, segments: &mut Vec<Segment>) -> String {
        if self.may_be_bare_call {
            let begun: String = text.chars().filter(|character| !character.is_whitespace()).take(32).collect();
            if BARE_CALLS.iter().any(|call| begun.starts_with(call)) {
                self.may_be_bare_call = false;
                self.region = Region::Call(None, String::new());
                return text;
            }
            if BARE_CALLS.iter().any(|call| call.starts_with(&begun)) {
                self.held = text;
                return String::new();
            }
            self.may_be_bare_call = false;
            return text;
        }
        let markers = self.markers();
        let found =
            markers.iter().filter_map(|marker| Some((text.find(marker)?, marker.len()))).min_by_key(|(at, length)| {
                // Of two markers at the same place the longer one is meant.
                (*at, usize::MAX - length)
            });
        let Some((at, length)) = found else {
            let held = markers.iter().map(|marker| longest_begun(&text, marker)).max().unwrap_or(0);
            let (shown, held) = text.split_at(text.len() - held);
            self.show(shown, segments);
            self.held = held.to_owned();
            return String::new();
        };
        self.show(&text[..at], segments);
        self.enter(&text[at..at + length]);
        if !matches!(self.region, Region::Call(..)) {
            self.spaces.clear();
            self.is_after_marker = true;
        }
        text[at + length..].to_owned()
    }

    fn markers(&self) -> Vec<&'static str> {
        match self.region {
            Region::Thoughts(section) => section.close.into_iter().collect(),
            _ => {
                let sections = self.dialect.thinking.iter().chain(&self.dialect.calls);
                // A thought that the prompt opened may be opened again, or closed twice: neither is shown.
                let closes = self.dialect.thinking.iter().filter_map(|section| section.close);
                sections.map(|section| section.open).chain(closes).chain(self.dialect.silent.iter().copied()).collect()
            }
        }
    }

    fn enter(&mut self, marker: &str) {
        let opened = |sections: &[Section]| sections.iter().copied().find(|section| section.open == marker);
        self.region = if matches!(self.region, Region::Thoughts(_)) {
            Region::Words
        } else if let Some(section) = opened(&self.dialect.thinking) {
            Region::Thoughts(section)
        } else if let Some(section) = opened(&self.dialect.calls) {
            Region::Call(Some(section), String::new())
        } else {
            Region::Words
        };
    }

    /// Reads a call up to its end; gives back what follows it.
    fn read_call(
        &mut self,
        section: Option<Section>,
        mut payload: String,
        text: String,
        segments: &mut Vec<Segment>,
    ) -> String {
        let Some(section) = section else {
            payload.push_str(&text);
            self.region = Region::Call(None, payload);
            return String::new();
        };
        // Without an end of its own a call ends where the next one begins.
        let end = section.close.unwrap_or(section.open);
        let mut from = payload.len().saturating_sub(end.len());
        payload.push_str(&text);
        while !payload.is_char_boundary(from) {
            from -= 1;
        }
        let Some(at) = payload[from..].find(end).map(|at| from + at) else {
            self.region = Region::Call(Some(section), payload);
            return String::new();
        };
        let rest = payload.split_off(at);
        self.region = Region::Words;
        let (close, rest) = if section.close.is_some() { rest.split_at(end.len()) } else { ("", rest.as_str()) };
        self.end_call(Some(section), &payload, close, segments);
        rest.to_owned()
    }

    /// Gives a call, or the words that came in its place where they are no call.
    fn end_call(&mut self, section: Option<Section>, payload: &str, close: &str, segments: &mut Vec<Segment>) {
        let is_named_by_marker = section.is_some_and(|section| section.open == tool_calls::FUNCTION_TAG);
        let marked =
            if is_named_by_marker { format!("{}{payload}", tool_calls::FUNCTION_TAG) } else { payload.to_owned() };
        match tool_calls::parse(&marked) {
            Some(calls) => {
                self.spaces.clear();
                self.is_after_marker = true;
                segments.extend(
                    calls
                        .into_iter()
                        .map(|call| Segment::ToolCall { name: call.name, arguments: call.arguments.to_string() }),
                );
            }
            None => {
                self.is_after_marker = false;
                let open = section.map_or("", |section| section.open);
                let spaces = mem::take(&mut self.spaces);
                self.append(format!("{spaces}{open}{payload}{close}"), segments);
            }
        }
    }

    /// Shows text, keeping white space at its end back.
    fn show(&mut self, text: &str, segments: &mut Vec<Segment>) {
        let text = if self.is_after_marker { text.trim_start() } else { text };
        let words = text.trim_end();
        if !words.is_empty() {
            self.is_after_marker = false;
            let shown = mem::take(&mut self.spaces) + words;
            self.append(shown, segments);
        }
        self.spaces.push_str(&text[words.len()..]);
    }

    fn append(&self, text: String, segments: &mut Vec<Segment>) {
        if text.is_empty() {
            return;
        }
        let is_thought = matches!(self.region, Region::Thoughts(_));
        match segments.last_mut() {
            Some(Segment::Thinking { text: last }) if is_thought => last.push_str(&text),
            Some(Segment::Text { text: last }) if !is_thought => last.push_str(&text),
            _ if is_thought => segments.push(Segment::Thinking { text }),
            _ => segments.push(Segment::Text { text }),
        }
    }
}

/// The length of the longest end of `text` with which `marker` begins.
fn longest_begun(text: &str, marker: &str) -> usize {
    let begins = |length: &usize| marker.is_char_boundary(*length) && text.ends_with(&marker[..*length]);
    (1..marker.len().min(text.len() + 1)).rev().find(begins).unwrap_or(0)
}
