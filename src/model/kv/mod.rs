//! KV caches: what each layer keeps of the tokens that came before, for one session or for many at once.

mod attention;
mod in_place;
mod newest;
mod own;
mod padded;
mod shared;
#[cfg(test)]
mod tests;
mod unpadded;

pub use attention::{attend_one_token, attends_each_row};
pub use in_place::{InPlaceStep, attends_in_place};
pub use own::{KvCache, OwnStep, PrefillStep, PromptPart};
pub use padded::PaddedStep;
pub use shared::{SharedKvCache, Slot};
pub use unpadded::{ApartCaches, MOST_APART, Seat, UnpaddedStep};

use super::cuda::HeadsPlan;
use super::kernels;
use super::mlp::scalar;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::{TryIndexMutOp, TryIndexOp};
use mlx_rs::ops::{broadcast_to, zeros_dtype};
use mlx_rs::{Array, Dtype};
use std::ops::Range;

/// Caches grow by this many tokens at a time, so that a decode step rarely copies them.
const GROWTH: i32 = 256;

/// Where memory takes nothing before it is written, room for so many tokens is made at a time: a cache that grows is
/// copied, and sessions that began together grow in one step.
pub const AHEAD: i32 = 4096;

/// What a layer's attention wants of the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSettings {
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// How many of the newest tokens a token sees, itself included; none sees all.
    pub window: Option<i32>,
    /// Those products are squeezed into ± this, where the architecture says so.
    pub softcap: Option<f32>,
    /// Whether attention is computed step by step, as on a CPU, for which MLX has no kernel. A decode step then attends
    /// the query heads of one key head as if they were tokens: one matrix product instead of several tiny ones.
    pub in_steps: bool,
}

/// Appends a step's keys and values to the caches of its sessions and attends over all of them.
pub trait Attend {
    /// queries [T, heads, head_dim], keys and values [T, kv_heads, head_dim] → [T, heads · head_dim].
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array>;

    /// The same from the product x [T, (heads + 2 · kv_heads) · head_dim] of all three on, neither normed nor rotated, by one
    /// kernel; none where there is no such kernel, and then nothing has been done.
    fn attend_product(
        &mut self,
        _layer: usize,
        _x: &Array,
        _plan: &HeadsPlan<'_>,
        _settings: AttentionSettings,
    ) -> Result<Option<Array>> {
        Ok(None)
    }
}

/// One layer's keys and values: [rooms, kv_heads, places, head_dim] each. A place is counted from a session's (or a
/// shared cache's) beginning; those before `first` are held no more, as they lie before the layer's window.
#[derive(Clone, Debug)]
struct LayerKv {
    keys: Array,
    values: Array,
    first: i32,
}

impl LayerKv {
    /// The place behind the last one that there is room for.
    fn capacity(&self) -> i32 {
        self.first + self.keys.dim(2)
    }

    fn rooms(&self) -> i32 {
        self.keys.dim(0)
    }

    /// Makes room for places up to `end`. Where that copies the cache, the places before `needed` are left behind.
    fn make_room(&mut self, needed: i32, end: i32) -> Result<()> {
        if self.capacity() >= end {
            return Ok(());
        }
        self.drop_before(needed)?;
        self.add(2, rounded_up(end - self.capacity()))
    }

    /// [`LayerKv::make_room`] in memory of its own, whether there was room or not.
    fn copy(&mut self, needed: i32, end: i32) -> Result<()> {
        self.drop_before(needed)?;
        self.add(2, rounded_up((end - self.capacity()).max(1)))
    }

    /// Memory for the places from `needed` to `wanted` that nothing else holds, with the tokens up to `length` in it. What
    /// it holds behind them is anything.
    fn make_own(&mut self, needed: i32, length: i32, wanted: i32) -> Result<()> {
        self.drop_before(needed)?;
        let (kept, places) = (length - self.first, wanted - self.first);
        for array in [&mut self.keys, &mut self.values] {
            let mut own = kernels::unwritten(&[1, array.dim(1), places, array.dim(3)])?;
            if kept > 0 {
                own.try_index_mut((.., .., ..kept, ..), array.try_index((.., .., ..kept, ..))?)?;
            }
            *array = own;
        }
        Ok(())
    }

    /// Lets go of the places before `place`.
    fn drop_before(&mut self, place: i32) -> Result<()> {
        let dropped = place - self.first;
        if dropped > 0 {
            for array in [&mut self.keys, &mut self.values] {
                *array = array.try_index((.., .., dropped.., ..))?;
            }
            self.first = place;
        }
        Ok(())
    }

    /// Moves everything `places` places on.
    fn shift_right(&mut self, places: i32) -> Result<()> {
        if self.first > 0 {
            self.first += places;
            return Ok(());
        }
        for array in [&mut self.keys, &mut self.values] {
            *array = concatenate(&[&empty_like(array, 2, places)?, &*array], 2)?;
        }
        Ok(())
    }

    /// Adds room for `count` more sessions.
    fn add_rooms(&mut self, count: i32) -> Result<()> {
        self.add(0, count)
    }

    fn add(&mut self, axis: i32, count: i32) -> Result<()> {
        for array in [&mut self.keys, &mut self.values] {
            *array = concatenate(&[&*array, &empty_like(array, axis as usize, count)?], axis)?;
        }
        Ok(())
    }

    /// Writes the next token of the sessions in `rooms` at place `end`: keys and values [rooms, kv_heads, head_dim].
    /// Returns their places from `seen` up to and including it, as views.
    fn append(
        &mut self,
        rooms: Range<i32>,
        seen: i32,
        end: i32,
        keys: &Array,
        values: &Array,
    ) -> Result<(Array, Array)> {
        let (from, to) = (rooms.start, rooms.end);
        let (seen, end) = (seen - self.first, end - self.first);
        let append = |held: &mut Array, new: &Array| {
            held.try_index_mut((from..to, .., end..end + 1, ..), new.expand_dims(2)?)?;
            held.try_index((from..to, .., seen..end + 1, ..))
        };
        Ok((append(&mut self.keys, keys)?, append(&mut self.values, values)?))
    }

    /// Writes a session's tokens from `place` on into `room`, but for those that this layer holds no more.
    fn write(&mut self, room: i32, place: i32, tokens: &Self) -> Result<()> {
        let passed = (self.first - place).max(0);
        let (from, to) = (place + passed - self.first, place + tokens.keys.dim(2) - self.first);
        for (held, new) in [(&mut self.keys, &tokens.keys), (&mut self.values, &tokens.values)] {
            held.try_index_mut((room..room + 1, .., from..to, ..), new.try_index((.., .., passed.., ..))?)?;
        }
        Ok(())
    }

    /// The places from `start` to `end`, as views.
    fn tokens(&self, start: i32, end: i32) -> Result<(Array, Array)> {
        let places = start - self.first..end - self.first;
        Ok((self.keys.try_index((.., .., places.clone(), ..))?, self.values.try_index((.., .., places, ..))?))
    }

    /// What is held of `room` from `start` to `end`, with its places counted from `start`.
    fn part(&self, room: i32, start: i32, end: i32) -> Result<Self> {
        let first = self.first.max(start);
        let places = first - self.first..end - self.first;
        let of_room = |array: &Array| array.try_index((room..room + 1, .., places.clone(), ..))?.contiguous();
        Ok(Self { keys: of_room(&self.keys)?, values: of_room(&self.values)?, first: first - start })
    }
}

/// Zeros of the shape of `array` with `count` places along `axis`; they take no memory of their own.
fn empty_like(array: &Array, axis: usize, count: i32) -> Result<Array> {
    let mut shape = array.shape().to_vec();
    shape[axis] = count;
    broadcast_to(scalar(0.0, array)?, &shape)
}

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

    fn empty_layers(&self, rows: i32, capacity: i32) -> Result<Vec<LayerKv>> {
        let zeros = || zeros_dtype(&[rows, self.kv_heads, capacity, self.head_dim], self.dtype);
        (0..self.layers).map(|_| Ok(LayerKv { keys: zeros()?, values: zeros()?, first: 0 })).collect()
    }
}

/// Rows `range` of an array, which is the array itself where that is all of them.
fn rows(array: &Array, range: Range<i32>) -> Result<Array> {
    if range == (0..array.dim(0)) { Ok(array.clone()) } else { array.try_index(range) }
}

/// The rows' outputs one after the other, followed by rows of zeros up to `width` rows.
fn padded_to(width: i32, mut outputs: Vec<Array>) -> Result<Array> {
    let missing = width - outputs.iter().map(|output| output.dim(0)).sum::<i32>();
    if missing > 0
        && let Some(first) = outputs.first()
    {
        outputs.push(empty_like(first, 0, missing)?);
    }
    match outputs.as_slice() {
        [only] => Ok(only.clone()),
        many => concatenate(many, 0),
    }
}

/// The first place that a token at place `end` sees.
fn window_start(window: Option<i32>, end: i32) -> i32 {
    window.map_or(0, |window| (end + 1 - window).max(0))
}

/// `length` rounded up to whole growth steps.
fn rounded_up(length: i32) -> i32 {
    (length + GROWTH - 1) / GROWTH * GROWTH
}
