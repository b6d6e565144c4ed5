//! One session's KV cache, prefill over it, and decoding over it.

use super::attention::{Mask, attend_one_token, attention, window_mask};
use super::{Attend, AttentionSettings, GROWTH, KvShape, LayerKv, padded_to, rows, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexMutOp;

/// One session's keys and values of all layers.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerKv>,
    length: i32,
}

impl KvCache {
    /// An empty cache.
    pub fn new(shape: &KvShape) -> Result<Self> {
        Ok(Self { layers: shape.empty_layers(1, GROWTH)?, length: 0 })
    }

    /// Tokens held.
    pub fn length(&self) -> i32 {
        self.length
    }

    /// Counts the tokens that all layers have taken in this step.
    pub fn advance(&mut self, tokens: i32) {
        self.length += tokens;
    }

    /// A copy that holds the first `length` tokens only; none where a layer holds those before its window no more.
    pub fn beginning(&self, length: i32) -> Option<Self> {
        let whole = length >= self.length || self.layers.iter().all(|layer| layer.first == 0);
        whole.then(|| Self { layers: self.layers.clone(), length: self.length.min(length) })
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values])
    }

    /// Builds a cache of `length` tokens.
    pub(super) fn from_layers(layers: Vec<LayerKv>, length: i32) -> Self {
        Self { layers, length }
    }

    pub(super) fn into_layers(self) -> Vec<LayerKv> {
        self.layers
    }

    /// What each layer holds of the tokens: [1, kv_heads, tokens, head_dim], as views.
    pub(super) fn layers(&self) -> Result<Vec<LayerKv>> {
        let views = self.layers.iter().map(|layer| {
            let (keys, values) = layer.tokens(layer.first, self.length)?;
            Ok(LayerKv { keys, values, first: layer.first })
        });
        views.collect()
    }

    /// Writes the next tokens of `layer`, keys and values [1, kv_heads, L, head_dim]; returns those from place `seen` up
    /// to and including them.
    fn append(&mut self, layer: usize, seen: i32, keys: &Array, values: &Array) -> Result<(Array, Array)> {
        let (start, end) = (self.length, self.length + keys.dim(2));
        let held = &mut self.layers[layer];
        held.make_room(seen, end)?;
        let places = start - held.first..end - held.first;
        held.keys.try_index_mut((.., .., places.clone(), ..), keys)?;
        held.values.try_index_mut((.., .., places, ..), values)?;
        held.tokens(seen, end)
    }
}

/// Attention of one session's next L tokens.
#[derive(Debug)]
pub struct Prefill<'a>(pub &'a mut KvCache);

impl Attend for Prefill<'_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let (start, count) = (self.0.length(), keys.dim(0));
        // [L, heads, head_dim] → [1, heads, L, head_dim].
        let heads_first = |array: &Array| array.swap_axes(0, 1)?.expand_dims(0);
        let seen = window_start(settings, start);
        let (keys, values) = self.0.append(layer, seen, &heads_first(keys)?, &heads_first(values)?)?;
        let mask = match settings.window {
            Some(window) if start + count > window => Mask::Array(window_mask(seen, start, count, window)?),
            _ if count == 1 => Mask::None,
            _ => Mask::Causal,
        };
        let output = attention(&heads_first(queries)?, &keys, &values, settings, mask)?;
        output.swap_axes(1, 2)?.reshape(&[count, -1])
    }
}

/// Attention of the next tokens of several sessions, of each as many as its number says, one session after the other.
#[derive(Debug)]
pub struct PrefillTogether<'a>(pub Vec<(Prefill<'a>, i32)>);

impl Attend for PrefillTogether<'_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let mut outputs = Vec::with_capacity(self.0.len());
        let mut start = 0;
        for (session, count) in &mut self.0 {
            let of = |array: &Array| rows(array, start..start + *count);
            outputs.push(session.attend(layer, &of(queries)?, &of(keys)?, &of(values)?, settings)?);
            start += *count;
        }
        concatenate(&outputs, 0)
    }
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
        let (width, queries) = (queries.dim(0), rows(queries, 0..1)?);
        let (keys, values) = (rows(keys, 0..1)?, rows(values, 0..1)?);
        let (held, seen) = (&mut self.0.layers[layer], window_start(settings, end));
        held.make_room(seen, end + 1)?;
        let (keys, values) = held.append(0..1, seen, end, &keys, &values)?;
        padded_to(width, vec![attend_one_token(&queries, &keys, &values, None, settings)?])
    }
}
