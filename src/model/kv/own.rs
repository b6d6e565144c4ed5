//! One session's KV cache, prefill over it, and decoding over it.

use super::super::cuda::HeadsPlan;
use super::super::kernels::{self, Span};
use super::attention::{Mask, attend_one_token, attends_each_row, attention, window_mask};
use super::newest::{Newest, is_taken};
use super::{AHEAD, Attend, AttentionSettings, GROWTH, KvShape, LayerKv, padded_to, rows, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexMutOp;

/// One session's keys and values of all layers. A copy shares them until one side writes.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<LayerKv>,
    length: i32,
    /// Whether places from `length` on are nobody else's, so that a kernel may write them.
    is_own: bool,
    /// How many tokens the session is expected to have, as far as memory is set aside for them at once.
    expected: i32,
    newest: Newest,
}

impl Clone for KvCache {
    fn clone(&self) -> Self {
        Self::from_layers(self.layers.clone(), self.length)
    }
}

impl KvCache {
    /// An empty cache.
    pub fn new(shape: &KvShape) -> Result<Self> {
        Ok(Self { layers: shape.empty_layers(1, GROWTH)?, is_own: true, ..Self::default() })
    }

    /// An empty cache for [`InPlaceStep`](super::InPlaceStep), which makes room in it.
    pub fn in_place(shape: &KvShape) -> Result<Self> {
        Ok(Self { layers: shape.empty_layers(1, 0)?, is_own: true, ..Self::default() })
    }

    /// Has [`KvCache::make_room`] set memory aside for `tokens` tokens; it is taken as they are written.
    pub fn expect(&mut self, tokens: i32) {
        self.expected = tokens;
    }

    /// Makes room in `layer` for places up to `end` that only this session writes.
    pub(super) fn make_room(&mut self, layer: usize, end: i32, window: Option<i32>) -> Result<()> {
        let held = &mut self.layers[layer];
        if self.is_own && held.capacity() >= end {
            return Ok(());
        }
        let wanted = if end > self.expected { end + AHEAD } else { self.expected };
        // What lies before the window goes whenever the layer is copied, so that it never holds much more than that.
        let most = window.map_or(wanted, |window| end + window.max(GROWTH));
        held.make_own(window_start(window, self.length), self.length, wanted.min(most))
    }

    /// The keys and values that `layer` holds, and the place at which they begin.
    pub(super) fn held(&self, layer: usize) -> ([&Array; 2], i32) {
        let LayerKv { keys, values, first } = &self.layers[layer];
        ([keys, values], *first)
    }

    /// Tokens held.
    pub fn length(&self) -> i32 {
        self.length
    }

    /// Counts the tokens that all layers have taken in this step.
    pub fn advance(&mut self, tokens: i32) {
        self.length += tokens;
        // What has been written to isn't shared any more.
        self.is_own |= tokens > 0;
    }

    /// Forgets the tokens from `length` on, which the last pass in place was to write.
    pub fn cut(&mut self, length: i32) {
        self.length = self.length.min(length);
    }

    /// A copy that holds the first `length` tokens only; none where a layer holds those before its window no more.
    pub fn beginning(&self, length: i32) -> Option<Self> {
        let whole = length >= self.length || self.layers.iter().all(|layer| layer.first == 0);
        whole.then(|| Self::from_layers(self.layers.clone(), self.length.min(length)))
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values])
    }

    /// Memory that the tokens take; what is set aside for others is not counted.
    pub fn bytes(&self) -> usize {
        let of_layer = |layer: &LayerKv| {
            let places = (self.length - layer.first).max(0) as usize;
            (layer.keys.nbytes() + layer.values.nbytes()) / layer.keys.dim(2).max(1) as usize * places
        };
        self.layers.iter().map(of_layer).sum()
    }

    /// Builds a cache of `length` tokens.
    pub(super) fn from_layers(layers: Vec<LayerKv>, length: i32) -> Self {
        Self { layers, length, ..Self::default() }
    }

    /// What each layer holds of the tokens: [1, kv_heads, tokens, head_dim], as views.
    pub(super) fn layers(&self) -> Result<Vec<LayerKv>> {
        let views = self.layers.iter().map(|layer| {
            let (keys, values) = layer.tokens(layer.first, self.length)?;
            Ok(LayerKv { keys, values, first: layer.first })
        });
        views.collect()
    }

    /// Writes tokens of `layer` from place `start` on, keys and values [1, kv_heads, L, head_dim]; returns those from
    /// place `seen` up to and including them.
    fn append(&mut self, layer: usize, seen: i32, start: i32, keys: &Array, values: &Array) -> Result<(Array, Array)> {
        let end = start + keys.dim(2);
        let held = &mut self.layers[layer];
        held.make_room(seen, end)?;
        let places = start - held.first..end - held.first;
        held.keys.try_index_mut((.., .., places.clone(), ..), keys)?;
        held.values.try_index_mut((.., .., places, ..), values)?;
        held.tokens(seen, end)
    }
}

/// Tokens of one session that are attended at once in a pass over prompts.
#[derive(Clone, Copy, Debug)]
pub struct PromptPart {
    /// Which of the step's caches is the session's.
    pub session: usize,
    /// How many tokens the session has before these.
    pub start: i32,
    /// How many tokens are read.
    pub tokens: i32,
    /// How many rows of the pass are the part's: those behind its tokens are padding, which attends to nothing and gets
    /// zeros.
    pub rows: i32,
}

/// Attention of the next tokens of one session or of several, one part after the other.
#[derive(Debug)]
pub struct PrefillStep<'a, 'b> {
    caches: &'a mut [&'b mut KvCache],
    parts: Vec<PromptPart>,
}

impl<'a, 'b> PrefillStep<'a, 'b> {
    /// A pass over `parts`, whose rows follow each other.
    pub fn new(caches: &'a mut [&'b mut KvCache], parts: Vec<PromptPart>) -> Self {
        Self { caches, parts }
    }
}

impl Attend for PrefillStep<'_, '_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let mut outputs = Vec::with_capacity(self.parts.len());
        let mut first = 0;
        for part in &self.parts {
            let of_part = |array: &Array| rows(array, first..first + part.tokens);
            let (queries, keys, values) =
                (of_part(queries)?, heads_first(&of_part(keys)?)?, heads_first(&of_part(values)?)?);
            let (start, count) = (part.start, part.tokens);
            first += part.rows;
            let seen = window_start(settings.window, start);
            let (keys, values) = self.caches[part.session].append(layer, seen, start, &keys, &values)?;
            if kernels::attends_prompt(count, start + count) && attends_each_row(&queries, settings) {
                let span = |place| {
                    let start = window_start(settings.window, place) - seen;
                    Span { room: 0, start, end: place + 1 - seen }
                };
                let spans: Vec<Span> = (start..start + count).map(span).collect();
                let output = kernels::attend(&queries, &keys, &values, &spans, settings.scale)?;
                outputs.push(padded_to(part.rows, vec![output])?);
                continue;
            }
            let mask = match settings.window {
                Some(window) if start + count > window => Mask::Array(window_mask(seen, start, count, window)?),
                _ if count == 1 => Mask::None,
                _ => Mask::Causal,
            };
            let output = attention(&heads_first(&queries)?, &keys, &values, settings, mask)?;
            outputs.push(padded_to(part.rows, vec![output.swap_axes(1, 2)?.reshape(&[count, -1])?])?);
        }
        padded_to(first, outputs)
    }
}

/// [L, heads, head_dim] → [1, heads, L, head_dim].
fn heads_first(array: &Array) -> Result<Array> {
    array.swap_axes(0, 1)?.expand_dims(0)
}

/// One decode step of one session over its own cache. A step may be wider than the session's one row: the others are
/// padding, which attends to nothing and gets zeros.
#[derive(Debug)]
pub struct OwnStep<'a>(pub &'a mut KvCache);

impl Attend for OwnStep<'_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let end = self.0.length();
        let width = queries.dim(0);
        let (keys, values) = (rows(keys, 0..1)?, rows(values, 0..1)?);
        let (held, seen) = (&mut self.0.layers[layer], window_start(settings.window, end));
        held.make_room(seen, end + 1)?;
        let (keys, values) = held.append(0..1, seen, end, &keys, &values)?;
        if attends_each_row(queries, settings) {
            let mut spans = vec![Span::NOTHING; width as usize];
            spans[0].end = end + 1 - seen;
            return kernels::attend(queries, &keys, &values, &spans, settings.scale);
        }
        padded_to(width, vec![attend_one_token(&rows(queries, 0..1)?, &keys, &values, None, settings)?])
    }

    fn attend_product(
        &mut self,
        layer: usize,
        x: &Array,
        plan: &HeadsPlan<'_>,
        settings: AttentionSettings,
    ) -> Result<Option<Array>> {
        let KvCache { layers, length, is_own, newest, .. } = &mut *self.0;
        let held = &mut layers[layer];
        if !is_taken(x, plan, held, settings) {
            return Ok(None);
        }
        let seen = window_start(settings.window, *length);
        if *is_own {
            held.make_room(seen, *length + 1)?;
        } else {
            held.copy(seen, *length + 1)?;
        }
        newest.attend(x, plan, held, [(0, 0)].into_iter(), *length, settings).map(Some)
    }
}
