//! Prefill and decoding where a kernel writes tokens into their sessions' own caches and attends them there.
//!
//! No session's cache is ever moved, padded or copied because another one joins, leaves or is longer. As arrays aren't
//! replaced by what is written into them, evaluating the pass's last attention ([`InPlaceStep::newest`]) is what fills the
//! caches.

use super::super::kernels::{self, Span};
use super::{Attend, AttentionSettings, KvCache, PromptPart, window_start};
use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};

/// Whether there is a kernel for such tokens.
pub fn attends_in_place(dtype: Dtype, settings: AttentionSettings) -> bool {
    settings.softcap.is_none() && kernels::attends_in_place(dtype)
}

/// A pass over the next tokens of one session or of several.
#[derive(Debug)]
pub struct InPlaceStep<'a, 'b> {
    caches: &'a mut [&'b mut KvCache],
    /// Each row's token; none for padding, which gets zeros.
    rows: Vec<Option<Token>>,
    newest: Option<Array>,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    session: usize,
    place: i32,
}

impl<'a, 'b> InPlaceStep<'a, 'b> {
    /// A decode step: the next token of each session, followed by padding up to `width` rows.
    pub fn decode(caches: &'a mut [&'b mut KvCache], width: usize) -> Self {
        let tokens = caches.iter().enumerate();
        let mut rows: Vec<_> = tokens.map(|(session, cache)| Some(Token { session, place: cache.length() })).collect();
        rows.resize(width, None);
        Self { caches, rows, newest: None }
    }

    /// A pass over parts of prompts, whose rows follow each other.
    pub fn prefill(caches: &'a mut [&'b mut KvCache], parts: &[PromptPart]) -> Self {
        let of_part = |part: &PromptPart| {
            let PromptPart { session, start, tokens, rows } = *part;
            (0..rows).map(move |row| (row < tokens).then_some(Token { session, place: start + row }))
        };
        Self { caches, rows: parts.iter().flat_map(of_part).collect(), newest: None }
    }

    /// What attention gave in the last layer so far; once it is evaluated, the caches hold the tokens.
    pub fn newest(self) -> Option<Array> {
        self.newest
    }

    /// Makes room in `layer` for the pass's tokens.
    fn make_room(&mut self, layer: usize, window: Option<i32>) -> Result<()> {
        let mut ends: Vec<i32> = self.caches.iter().map(|cache| cache.length()).collect();
        for token in self.rows.iter().flatten() {
            ends[token.session] = ends[token.session].max(token.place + 1);
        }
        self.caches.iter_mut().zip(ends).try_for_each(|(cache, end)| cache.make_room(layer, end, window))
    }
}

impl Attend for InPlaceStep<'_, '_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        self.make_room(layer, settings.window)?;
        let held: Vec<[&Array; 2]> = self.caches.iter().map(|cache| cache.held(layer).0).collect();
        let spans = self.rows.iter().map(|token| {
            token.map_or(Span::NOTHING, |Token { session, place }| {
                let first = self.caches[session].held(layer).1;
                let start = window_start(settings.window, place) - first;
                Span { room: session as i32, start, end: place + 1 - first }
            })
        });
        let spans: Vec<Span> = spans.collect();
        let output = kernels::attend_in_place([queries, keys, values], &held, &spans, settings.scale)?;
        self.newest = Some(output.clone());
        Ok(output)
    }
}
