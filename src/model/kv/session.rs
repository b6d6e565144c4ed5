//! One session's KV cache.

use crate::model::kernels::{Kernels, KvShape, KvSnapshot, KvStore, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::ops::Range;

/// Caches grow by this many tokens at a time, so that a decode step rarely copies them.
const GROWTH: i32 = 256;

/// Where memory takes nothing before it is written, room for so many tokens is made at a time: a cache that grows is
/// copied, and sessions that began together grow in one step.
pub const AHEAD: i32 = 4096;

/// One session's keys and values of all layers. It can't be copied; a [`KvSnapshot`] of it can.
#[derive(Debug)]
pub struct KvCache {
    store: KvStore,
    length: i32,
    /// How many tokens the session is expected to have, as far as memory is set aside for them at once.
    expected: i32,
}

impl KvCache {
    /// An empty cache.
    pub fn new(kernels: &dyn Kernels, shape: &KvShape) -> Result<Self> {
        let places = if kernels.promises().sets_memory_aside { 0 } else { GROWTH };
        Ok(Self { store: KvStore::empty(kernels, shape, 1, places)?, length: 0, expected: 0 })
    }

    /// A cache that begins with what the snapshot holds.
    pub fn of(snapshot: &KvSnapshot) -> Result<Self> {
        Ok(Self { store: KvStore::of(snapshot)?, length: snapshot.length(), expected: 0 })
    }

    /// Sets memory aside for `tokens` tokens once the cache grows, where that takes nothing before they are written.
    pub fn expect(&mut self, tokens: i32) {
        self.expected = tokens;
    }

    /// Tokens held.
    pub fn length(&self) -> i32 {
        self.length
    }

    /// Counts the tokens that all layers have taken in a pass.
    pub fn advance(&mut self, tokens: i32) {
        self.length += tokens;
    }

    /// Forgets the tokens from `length` on.
    pub fn cut(&mut self, length: i32) {
        self.length = self.length.min(length);
    }

    /// What it holds now, which stays while the session goes on.
    pub fn snapshot(&mut self) -> KvSnapshot {
        self.store.snapshot(self.length)
    }

    /// The arrays to evaluate for the tokens to be there.
    pub fn arrays(&self) -> Vec<&Array> {
        self.store.arrays()
    }

    /// Waits until the tokens are there.
    pub fn settle(&mut self) -> Result<()> {
        self.store.settle()
    }

    pub(super) fn store(&mut self) -> &mut KvStore {
        &mut self.store
    }

    /// Makes room in `layer` for places up to `end`.
    pub(super) fn make_room(
        &mut self,
        kernels: &dyn Kernels,
        layer: usize,
        end: i32,
        window: Option<i32>,
    ) -> Result<()> {
        let kept = window_start(window, self.length)..self.length;
        let wanted = match kernels.promises().sets_memory_aside {
            true => {
                let wanted = if end > self.expected { end + AHEAD } else { self.expected };
                // What lies before the window goes whenever the layer is copied, so that it never holds much more than that.
                window.map_or(wanted, |window| wanted.min(end + window.max(GROWTH)))
            }
            false => end,
        };
        make_room(&mut self.store, kernels, layer, kept, end, wanted)
    }
}

/// Makes room in `layer` for places up to `end`, and where that copies it for those up to `wanted`, keeping the tokens in
/// `kept`.
pub(super) fn make_room(
    store: &mut KvStore,
    kernels: &dyn Kernels,
    layer: usize,
    kept: Range<i32>,
    end: i32,
    wanted: i32,
) -> Result<()> {
    let promises = kernels.promises();
    let memory = store.layer_mut(layer);
    let is_own = !promises.writes_in_place || memory.is_own_from(kept.end);
    let capacity = memory.capacity();
    if is_own && capacity >= end {
        return Ok(());
    }
    let wanted = match promises.sets_memory_aside {
        true => wanted,
        false => capacity + rounded_up((wanted - capacity).max(0)),
    };
    store.make_own(kernels, layer, kept, wanted)
}

/// `length` rounded up to whole growth steps.
fn rounded_up(length: i32) -> i32 {
    (length + GROWTH - 1) / GROWTH * GROWTH
}
