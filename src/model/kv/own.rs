//! One session's KV cache, prefill over it, and decoding over it.

use super::attention::{Mask, attend_one_token, attention, window_mask};
use super::{Attend, AttentionSettings, GROWTH, KvShape, LayerKv, padded_to, rounded_up, rows, window_start};
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

    /// A copy that holds the first `length` tokens only.
    pub fn beginning(&self, length: i32) -> Self {
        Self { layers: self.layers.clone(), length: self.length.min(length) }
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

    /// Each layer's keys and values [1, kv_heads, length, head_dim], as views.
    pub(super) fn layers(&self) -> Result<Vec<(Array, Array)>> {
        self.layers.iter().map(|layer| layer.tokens(0, self.length)).collect()
    }

    /// Writes the next tokens of `layer`, keys and values [1, kv_heads, L, head_dim]; returns all up to and including
    /// them.
    fn append(&mut self, layer: usize, keys: &Array, values: &Array) -> Result<(Array, Array)> {
        let (start, end) = (self.length, self.length + keys.dim(2));
        let held = self.with_room(layer, end)?;
        held.keys.try_index_mut((.., .., start..end, ..), keys)?;
        held.values.try_index_mut((.., .., start..end, ..), values)?;
        held.tokens(0, end)
    }

    fn with_room(&mut self, layer: usize, end: i32) -> Result<&mut LayerKv> {
        let held = &mut self.layers[layer];
        if held.capacity() < end {
            held.extend(rounded_up(end - held.capacity()))?;
        }
        Ok(held)
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
        let (keys, values) = self.0.append(layer, &heads_first(keys)?, &heads_first(values)?)?;
        let mask = match settings.window {
            Some(window) if start + count > window => Mask::Array(window_mask(start, count, window)?),
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
        let held = self.0.with_room(layer, end + 1)?;
        let (keys, values) = held.append(0..1, window_start(settings, end), end, &keys, &values)?;
        padded_to(width, vec![attend_one_token(&queries, &keys, &values, None, settings)?])
    }
}
