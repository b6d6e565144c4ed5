//! All layers' parts of one KV cache, and what must be computed before anybody else may read them.
//!
//! A kernel that writes in place does so when its operation is computed. A pass notes the last such operation here, and
//! whoever reads the cache by other operations waits for it first.

use super::allocate::Allocate;
use super::memory::{Frozen, KvMemory};
use mlx_rs::error::Result;
use mlx_rs::transforms::{async_eval, eval};
use mlx_rs::{Array, Dtype};
use std::ops::Range;
use std::rc::Rc;

/// The shape that all caches of a model share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvShape {
    /// Layers that keep keys and values.
    pub layers: usize,
    /// Key and value heads of a layer.
    pub kv_heads: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// Of keys and values.
    pub dtype: Dtype,
}

impl KvShape {
    /// Bytes that one token of one session takes.
    pub fn bytes_per_token(&self) -> u64 {
        let item = if self.dtype == Dtype::Float32 { 4 } else { 2 };
        2 * item * self.layers as u64 * self.kv_heads as u64 * self.head_dim as u64
    }
}

/// The memory of all layers.
#[derive(Debug, Default)]
pub struct KvStore {
    layers: Vec<KvMemory>,
    /// The last operation that writes in place, which follows from all before it.
    written: Option<Array>,
}

/// A copy of a cache's handles: the tokens that it held, which stay while others go on writing behind them.
#[derive(Clone, Debug)]
pub struct KvSnapshot {
    layers: Rc<[Frozen]>,
    written: Option<Array>,
    length: i32,
}

impl KvStore {
    /// Room for `places` places of `rooms` sessions.
    pub fn empty(source: &dyn Allocate, shape: &KvShape, rooms: i32, places: i32) -> Result<Self> {
        let of_layer = |_| KvMemory::new(source, [rooms, shape.kv_heads, places, shape.head_dim], shape.dtype);
        Ok(Self { layers: (0..shape.layers).map(of_layer).collect::<Result<_>>()?, written: None })
    }

    /// A store that begins with what the snapshot holds.
    pub fn of(snapshot: &KvSnapshot) -> Result<Self> {
        let layers = snapshot.layers.iter().map(KvMemory::of).collect::<Result<_>>()?;
        Ok(Self { layers, written: snapshot.written.clone() })
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The first `length` places of its only session.
    pub fn snapshot(&mut self, length: i32) -> KvSnapshot {
        let layers = self.layers.iter_mut().map(|layer| layer.freeze(length)).collect();
        KvSnapshot { layers, written: self.written.clone(), length }
    }

    /// A copy of the tokens of the session in `room`, which begins at `start` and ends before `end`.
    pub fn part(&mut self, room: i32, start: i32, end: i32) -> Result<KvSnapshot> {
        self.launch()?;
        let layers = self.layers.iter_mut().map(|layer| layer.part(room, start, end)).collect::<Result<Vec<_>>>()?;
        Ok(KvSnapshot { layers: layers.into(), written: None, length: end - start })
    }

    /// Takes a session's tokens from `place` on into `room`.
    pub fn take_in(&mut self, room: i32, place: i32, tokens: &KvSnapshot) -> Result<()> {
        self.launch()?;
        tokens.launch()?;
        self.layers.iter_mut().zip(&*tokens.layers).try_for_each(|(layer, tokens)| layer.take_in(room, place, tokens))
    }

    /// Writes a session's tokens, keys and values `[1, kv_heads, n, head_dim]`, into a room of `layer` from `place` on.
    pub fn fill(&mut self, layer: usize, room: i32, place: i32, tokens: [&Array; 2]) -> Result<()> {
        self.launch()?;
        self.layers[layer].append(room..room + 1, place, place, tokens).map(drop)
    }

    /// Changes how the layers lie, by MLX's operations.
    pub fn rearrange(&mut self, change: impl FnMut(&mut KvMemory) -> Result<()>) -> Result<()> {
        self.launch()?;
        self.layers.iter_mut().try_for_each(change)
    }

    /// Gives `layer` memory of its own with the tokens in `kept` and room up to `wanted`.
    pub fn make_own(&mut self, source: &dyn Allocate, layer: usize, kept: Range<i32>, wanted: i32) -> Result<()> {
        self.launch()?;
        self.layers[layer].make_own(source, kept.start, kept.end, wanted)
    }

    /// One layer's memory, for a pass that is about to write its tokens; it says by [`KvStore::note`] what it wrote.
    pub fn layer_mut(&mut self, layer: usize) -> &mut KvMemory {
        &mut self.layers[layer]
    }

    /// How many sessions there is room for.
    pub fn rooms(&self) -> i32 {
        self.layers.first().map_or(0, KvMemory::rooms)
    }

    /// Notes the last operation of a pass, which follows from all others of it.
    pub fn note(&mut self, written: Array) {
        self.written = Some(written);
    }

    /// Waits until all that was written is there.
    pub fn settle(&mut self) -> Result<()> {
        eval(&self.written.take())
    }

    /// The arrays to evaluate for the tokens to be there.
    pub fn arrays(&self) -> Vec<&Array> {
        match &self.written {
            Some(written) => vec![written],
            None => self.layers.iter().flat_map(KvMemory::arrays).collect(),
        }
    }

    /// Has the device begin with what is written in place: operations that come later see it.
    fn launch(&mut self) -> Result<()> {
        async_eval(&self.written.take())
    }
}

impl KvSnapshot {
    /// Tokens held.
    pub fn length(&self) -> i32 {
        self.length
    }

    /// The first `length` tokens; none where a layer holds those before its window no more.
    pub fn beginning(&self, length: i32) -> Option<Self> {
        let length = length.min(self.length);
        let layers: Option<Vec<Frozen>> = self.layers.iter().map(|layer| layer.beginning(length)).collect();
        Some(Self { layers: layers?.into(), written: self.written.clone(), length })
    }

    /// Bytes that the tokens take.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(Frozen::bytes).sum()
    }

    /// What a layer holds: keys and values `[rooms, kv_heads, tokens, head_dim]`.
    #[cfg(test)]
    pub(super) fn tokens(&self, layer: usize) -> Result<[Array; 2]> {
        self.launch()?;
        self.layers[layer].tokens()
    }

    fn launch(&self) -> Result<()> {
        async_eval(&self.written)
    }
}
