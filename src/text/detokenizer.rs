//! Token ids to text, one id at a time: always valid UTF-8, each character once and whole, each at the same cost.

use super::token_bytes::TokenBytes;
use std::mem;
use std::sync::Arc;

/// The text of one answer as its ids come. Bytes are decoded as they arrive and never again, so the text is the same
/// however it is cut.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    tokens: Arc<TokenBytes>,
    /// The beginning of a character: at most three bytes.
    pending: Vec<u8>,
    /// How many more spaces the decoder takes off the text's start.
    leading_spaces: usize,
}

impl Detokenizer {
    pub(super) fn new(tokens: Arc<TokenBytes>) -> Self {
        let leading_spaces = tokens.leading_spaces();
        Self { tokens, pending: Vec::new(), leading_spaces }
    }

    /// Takes one id and gives the characters that it completes. Bytes that can't begin a character become U+FFFD.
    /// Special tokens and ids outside of the vocabulary give nothing.
    pub fn push(&mut self, id: u32) -> String {
        let mut bytes = self.tokens.get(id);
        if bytes.is_empty() {
            return String::new();
        }
        while self.leading_spaces > 0 {
            match bytes.strip_prefix(b" ") {
                Some(rest) => bytes = rest,
                None if bytes.is_empty() => return String::new(),
                None => {
                    self.leading_spaces = 0;
                    break;
                }
            }
            self.leading_spaces -= 1;
        }
        self.pending.extend_from_slice(bytes);
        self.take_whole()
    }

    /// What is left of a character whose last bytes never came, as U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&mem::take(&mut self.pending)).into_owned()
    }

    fn take_whole(&mut self) -> String {
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        let incomplete = loop {
            match str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    break 0;
                }
                Err(error) => {
                    let (whole, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    let Some(invalid) = error.error_len() else { break after.len() };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        };
        self.pending.drain(..self.pending.len() - incomplete);
        text
    }
}
