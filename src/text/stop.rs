//! Stop strings: text that ends an answer and is never shown, also where it comes in pieces.

use std::mem;

/// Looks for stop strings in a text that comes in pieces. What may be the beginning of one is held back, no more.
#[derive(Clone, Debug, Default)]
pub struct StopMatcher {
    patterns: Vec<Pattern>,
    held: String,
    is_stopped: bool,
}

/// What one piece gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Text that is safe to show.
    pub text: String,
    /// Whether a stop string came; nothing follows.
    pub stopped: bool,
}

impl StopMatcher {
    /// Empty stop strings are left out: they would stop every answer at once.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Self {
        let patterns = stops.iter().map(AsRef::as_ref).filter(|stop| !stop.is_empty()).map(Pattern::new).collect();
        Self { patterns, ..Self::default() }
    }

    /// Takes the next piece. The stop string that is complete first ends the text; of those that are complete at the
    /// same place, the longest.
    pub fn push(&mut self, piece: &str) -> Stopped {
        if self.is_stopped {
            return Stopped { text: String::new(), stopped: true };
        }
        if self.patterns.is_empty() {
            return Stopped { text: piece.to_owned(), stopped: false };
        }
        let start = self.held.len();
        self.held.push_str(piece);
        for (index, byte) in self.held.bytes().enumerate().skip(start) {
            let complete = self.patterns.iter_mut().filter_map(|pattern| pattern.advance(byte)).max();
            if let Some(length) = complete {
                self.is_stopped = true;
                let mut text = mem::take(&mut self.held);
                text.truncate(index + 1 - length);
                return Stopped { text, stopped: true };
            }
        }
        let held = self.patterns.iter().map(|pattern| pattern.matched).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - held);
        Stopped { text: mem::replace(&mut self.held, kept), stopped: false }
    }

    /// The text that was held back and turned out to be no stop string.
    pub fn finish(&mut self) -> String {
        self.patterns.iter_mut().for_each(|pattern| pattern.matched = 0);
        mem::take(&mut self.held)
    }
}

/// One stop string as a Knuth-Morris-Pratt automaton: each byte costs the same, however the text repeats itself.
#[derive(Clone, Debug)]
struct Pattern {
    bytes: Vec<u8>,
    /// For each prefix, the length of its longest proper suffix that is a prefix too.
    fallback: Vec<usize>,
    /// How many bytes of the stop string the text ends with.
    matched: usize,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut fallback = vec![0; bytes.len()];
        let mut length = 0;
        for index in 1..bytes.len() {
            while length > 0 && bytes[index] != bytes[length] {
                length = fallback[length - 1];
            }
            length += usize::from(bytes[index] == bytes[length]);
            fallback[index] = length;
        }
        Self { bytes, fallback, matched: 0 }
    }

    /// Takes one byte; the stop string's length where it is complete.
    fn advance(&mut self, byte: u8) -> Option<usize> {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.fallback[self.matched - 1];
        }
        self.matched += usize::from(self.bytes[self.matched] == byte);
        (self.matched == self.bytes.len()).then_some(self.matched)
    }
}
