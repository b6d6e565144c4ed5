//! What each token id stands for, in bytes, worked out once from the tokenizer's decoder.

use serde_json::Value as Json;
use std::collections::HashMap;
use tokenizers::Tokenizer;

/// Far more than any model has: a larger id is a mistake, and must not fill the memory.
const MAX_VOCABULARY: u32 = 1 << 24;

/// The bytes of every token, end to end. A token that is never shown has none.
#[derive(Debug)]
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    /// Where each token's bytes end; they begin where the ones before end.
    ends: Vec<u32>,
    leading_spaces: usize,
}

/// The decoder's type that isn't supported.
#[derive(Debug)]
pub(super) struct UnsupportedDecoder(pub(super) String);

impl TokenBytes {
    /// The decoder types that LLM tokenizers use, for error messages.
    pub(super) const SUPPORTED: &'static str =
        "ByteLevel, Metaspace, and sequences of Replace, ByteFallback, Fuse and Strip";

    /// Works out the bytes of all tokens. Special tokens are left empty unless `is_shown` says otherwise.
    pub(super) fn new(tokenizer: &Tokenizer, is_shown: impl Fn(&str) -> bool) -> Result<Self, UnsupportedDecoder> {
        let decoder = tokenizer.get_decoder().map(serde_json::to_value).transpose();
        let decoder = decoder.map_err(|error| UnsupportedDecoder(error.to_string()))?;
        let rules = Rules::new(decoder.as_ref())?;
        let added = tokenizer.get_added_vocabulary();
        let vocabulary = tokenizer.get_vocab(true).into_iter().filter(|(_, id)| *id < MAX_VOCABULARY);
        let mut tokens: Vec<(u32, String)> = vocabulary.map(|(token, id)| (id, token)).collect();
        tokens.sort_unstable();
        tokens.dedup_by_key(|(id, _)| *id);
        let mut bytes = Vec::with_capacity(tokens.len() * 6);
        let mut ends = Vec::with_capacity(tokens.len());
        for (id, token) in tokens {
            // Ids that no token has stand for nothing.
            ends.resize(id as usize, bytes.len() as u32);
            if !added.is_special_token(&token) {
                rules.decode(&token, &mut bytes);
            } else if is_shown(&token) {
                bytes.extend_from_slice(token.as_bytes());
            }
            ends.push(bytes.len() as u32);
        }
        Ok(Self { bytes, ends, leading_spaces: rules.leading_spaces })
    }

    pub(super) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(end) = self.ends.get(id) else { return &[] };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..*end as usize]
    }

    /// How many spaces the decoder takes off the start of the whole text.
    pub(super) fn leading_spaces(&self) -> usize {
        self.leading_spaces
    }
}

/// A decoder, read from its JSON form.
#[derive(Debug, Default)]
struct Rules {
    /// GPT-2's alphabet, which has one printable character for each byte.
    byte_of: HashMap<char, u8>,
    replacements: Vec<(String, String)>,
    has_byte_fallback: bool,
    leading_spaces: usize,
}

impl Rules {
    fn new(decoder: Option<&Json>) -> Result<Self, UnsupportedDecoder> {
        let mut rules = Self::default();
        match decoder {
            Some(decoder) => rules.add(decoder)?,
            None => return Err(UnsupportedDecoder("none".into())),
        }
        Ok(rules)
    }

    fn add(&mut self, decoder: &Json) -> Result<(), UnsupportedDecoder> {
        let unsupported = || UnsupportedDecoder(decoder.to_string());
        match decoder["type"].as_str() {
            Some("Sequence") => {
                for part in decoder["decoders"].as_array().ok_or_else(unsupported)? {
                    self.add(part)?;
                }
            }
            Some("ByteLevel") => self.byte_of = byte_alphabet(),
            Some("ByteFallback") => self.has_byte_fallback = true,
            Some("Fuse") => {}
            Some("Replace") => {
                let pattern = decoder["pattern"]["String"].as_str().ok_or_else(unsupported)?;
                let content = decoder["content"].as_str().ok_or_else(unsupported)?;
                self.replacements.push((pattern.to_owned(), content.to_owned()));
            }
            Some("Strip") if decoder["content"] == " " && decoder["stop"] == 0 => {
                self.leading_spaces = decoder["start"].as_u64().ok_or_else(unsupported)? as usize;
            }
            Some("Metaspace") => {
                let space = decoder["replacement"].as_str().ok_or_else(unsupported)?;
                self.replacements.push((space.to_owned(), " ".to_owned()));
                self.leading_spaces = usize::from(decoder["prepend_scheme"] != "never");
            }
            _ => return Err(unsupported()),
        }
        Ok(())
    }

    fn decode(&self, token: &str, out: &mut Vec<u8>) {
        if self.has_byte_fallback
            && let Some(byte) = fallback_byte(token)
        {
            out.push(byte);
            return;
        }
        if !self.byte_of.is_empty() {
            let bytes: Option<Vec<u8>> = token.chars().map(|character| self.byte_of.get(&character).copied()).collect();
            // A token outside of the alphabet was added to the vocabulary as plain text.
            out.extend(bytes.unwrap_or_else(|| token.as_bytes().to_vec()));
            return;
        }
        let text = self.replacements.iter().fold(token.to_owned(), |text, (from, to)| text.replace(from, to));
        out.extend_from_slice(text.as_bytes());
    }
}

/// SentencePiece's name for a byte that is no part of a known token, `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// GPT-2's byte alphabet: printable Latin-1 stands for itself, the others for U+0100 onwards in order.
fn byte_alphabet() -> HashMap<char, u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let printable = (0..=u8::MAX).filter(is_printable).map(|byte| (char::from(byte), byte));
    let shifted = (0..=u8::MAX).filter(|byte| !is_printable(byte)).zip('\u{100}'..);
    printable.chain(shifted.map(|(byte, character)| (character, byte))).collect()
}
