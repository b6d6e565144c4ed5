//! From token ids to the text that a person sees: detokenizing and stop strings in one step.

use super::{Detokenizer, StopMatcher};

/// One answer's text as it grows.
#[derive(Clone, Debug)]
pub struct TextStream {
    detokenizer: Detokenizer,
    stops: StopMatcher,
}

/// What one token gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Text to append: whole characters only, empty while a character or a possible stop string is incomplete.
    pub text: String,
    /// Whether a stop string ended the answer.
    pub stopped: bool,
}

impl TextStream {
    /// Starts an answer.
    pub fn new(detokenizer: Detokenizer, stops: StopMatcher) -> Self {
        Self { detokenizer, stops }
    }

    /// Takes the next token.
    pub fn push(&mut self, id: u32) -> Chunk {
        let piece = self.detokenizer.push(id);
        self.stop_at(&piece)
    }

    /// Flushes what was held back; a character whose last bytes never came is shown as U+FFFD.
    pub fn finish(&mut self) -> Chunk {
        let piece = self.detokenizer.finish();
        let mut chunk = self.stop_at(&piece);
        if !chunk.stopped {
            chunk.text.push_str(&self.stops.finish());
        }
        chunk
    }

    fn stop_at(&mut self, piece: &str) -> Chunk {
        let outcome = self.stops.push(piece);
        Chunk { text: outcome.text, stopped: outcome.stopped }
    }
}
