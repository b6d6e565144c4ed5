//! One session's KV cache, and prefill over it.

use super::attention::{Mask, attention, window_mask};
use super::{Attend, AttentionSettings, GROWTH, KvShape, LayerKv, rounded_up};
use mlx_rs::Array;
use mlx_rs::error::Result;
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

    /// Builds a cache of `length` tokens from each layer's keys and values.
    pub(super) fn from_layers(layers: Vec<(Array, Array)>, length: i32) -> Self {
        let layers = layers.into_iter().map(|(keys, values)| LayerKv { keys, values }).collect();
        Self { layers, length }
    }

    /// Each layer's keys and values [1, kv_heads, length, head_dim], as views.
    pub(super) fn layers(&self) -> Result<Vec<(Array, Array)>> {
        self.layers.iter().map(|layer| layer.tokens(0, self.length)).collect()
    }

    /// Writes the next tokens of `layer`; returns all keys and values up to and including them, the first `skip`
    /// left out.
    pub(super) fn append(&mut self, layer: usize, keys: &Array, values: &Array, skip: i32) -> Result<(Array, Array)> {
        let (start, end) = (self.length, self.length + keys.dim(2));
        let held = &mut self.layers[layer];
        if held.capacity() < end {
            held.extend(rounded_up(end - held.capacity()))?;
        }
        held.keys.try_index_mut((.., .., start..end, ..), keys)?;
        held.values.try_index_mut((.., .., start..end, ..), values)?;
        held.tokens(skip, end)
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
        let (start, count) = (self.0.length(), keys.dim(2));
        let (keys, values) = self.0.append(layer, keys, values, 0)?;
        let mask = match settings.window {
            Some(window) if start + count > window => Mask::Array(window_mask(start, count, window)?),
            _ if count == 1 => Mask::None,
            _ => Mask::Causal,
        };
        attention(queries, &keys, &values, settings, mask)
    }
}
