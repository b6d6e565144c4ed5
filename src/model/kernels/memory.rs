//! One layer's part of a KV cache: memory that one owner writes.
//!
//! Some kernels write tokens into arrays which MLX takes for values that never change. Two rules make that safe, and the
//! types keep them. A [`KvMemory`] can't be copied, and kernels take it by `&mut`; nobody else writes it. And whoever
//! else is given its places, as arrays or as a [`Frozen`] copy of the handles, is given those before a place from which on it
//! alone goes on writing: kernels refuse to write before it.

use super::allocate::Allocate;
use mlx_rs::error::{Exception, Result};
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::{TryIndexMutOp, TryIndexOp};
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, Dtype};
use std::ops::Range;

/// Keys and values `[rooms, kv_heads, places, head_dim]` of one layer; the places before `first` are held no more, as they lie
/// before the layer's window. Places count from the beginning of the cache, whether they are held or not.
#[derive(Debug)]
pub struct KvMemory {
    keys: Array,
    values: Array,
    first: i32,
    /// Others may see the places before this one.
    frozen: i32,
}

/// Keys and values that others may go on writing behind `end`, which this doesn't show.
#[derive(Clone, Debug)]
pub struct Frozen {
    keys: Array,
    values: Array,
    first: i32,
    end: i32,
}

impl KvMemory {
    /// Memory of its own.
    pub(super) fn new(source: &dyn Allocate, shape: [i32; 4], dtype: Dtype) -> Result<Self> {
        let memory = || source.memory(&shape, dtype);
        Ok(Self { keys: memory()?, values: memory()?, first: 0, frozen: 0 })
    }

    /// Memory that begins as the frozen places; it is copied before anything is written in place.
    pub(super) fn of(frozen: &Frozen) -> Result<Self> {
        let [keys, values] = frozen.tokens()?;
        Ok(Self { keys, values, first: frozen.first, frozen: i32::MAX })
    }

    /// The places before `end`, for others to read.
    pub(super) fn freeze(&mut self, end: i32) -> Frozen {
        self.frozen = self.frozen.max(end);
        Frozen { keys: self.keys.clone(), values: self.values.clone(), first: self.first, end }
    }

    /// A copy of a room's places from `start` to `end`, with its places counted from `start`.
    pub(super) fn part(&mut self, room: i32, start: i32, end: i32) -> Result<Frozen> {
        // Where the part is all there is, it is no copy.
        self.frozen = self.frozen.max(end);
        let first = self.first.max(start);
        let places = first - self.first..end - self.first;
        let of_room = |array: &Array| array.try_index((room..room + 1, .., places.clone(), ..))?.contiguous();
        let (keys, values) = (of_room(&self.keys)?, of_room(&self.values)?);
        Ok(Frozen { keys, values, first: first - start, end: end - start })
    }

    /// The first place held.
    pub fn first(&self) -> i32 {
        self.first
    }

    /// The place behind the last one that there is room for.
    pub fn capacity(&self) -> i32 {
        self.first + self.keys.dim(2)
    }

    /// The type of keys and values.
    pub(super) fn dtype(&self) -> Dtype {
        self.keys.dtype()
    }

    /// How many sessions there is room for.
    pub(super) fn rooms(&self) -> i32 {
        self.keys.dim(0)
    }

    /// The arrays that must be evaluated for what was written by MLX's operations to be there.
    pub(super) fn arrays(&self) -> [&Array; 2] {
        [&self.keys, &self.values]
    }

    /// Whether nobody else sees the places from `place` on.
    pub fn is_own_from(&self, place: i32) -> bool {
        self.frozen <= place
    }

    /// Memory of its own for the places from `needed` to `wanted`, with the tokens before `length` in it.
    pub(super) fn make_own(&mut self, source: &dyn Allocate, needed: i32, length: i32, wanted: i32) -> Result<()> {
        let needed = needed.max(self.first);
        let kept = needed - self.first..length - self.first;
        for array in [&mut self.keys, &mut self.values] {
            *array = source.with_room(&array.try_index((.., .., kept.clone(), ..))?, wanted - needed)?;
        }
        (self.first, self.frozen) = (needed, 0);
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
    pub fn shift_right(&mut self, places: i32) -> Result<()> {
        if self.first > 0 {
            self.first += places;
            self.frozen = self.frozen.saturating_add(places);
            return Ok(());
        }
        for array in [&mut self.keys, &mut self.values] {
            let mut shape = array.shape().to_vec();
            shape[2] = places;
            *array = concatenate(&[&zeros_dtype(&shape, array.dtype())?, &*array], 2)?;
        }
        self.frozen = 0;
        Ok(())
    }

    /// Adds room for `count` more sessions.
    pub fn add_rooms(&mut self, count: i32) -> Result<()> {
        for array in [&mut self.keys, &mut self.values] {
            let mut shape = array.shape().to_vec();
            shape[0] = count;
            *array = concatenate(&[&*array, &zeros_dtype(&shape, array.dtype())?], 0)?;
        }
        self.frozen = 0;
        Ok(())
    }

    /// Keeps the sessions in `rooms` (i32 `[n]`), in this order.
    pub fn keep_rooms(&mut self, rooms: &Array) -> Result<()> {
        for array in [&mut self.keys, &mut self.values] {
            *array = array.take_axis(rooms, 0)?;
        }
        self.frozen = 0;
        Ok(())
    }

    /// Takes a session's tokens from `place` on into `room`, but for those that this layer holds no more.
    pub(super) fn take_in(&mut self, room: i32, place: i32, tokens: &Frozen) -> Result<()> {
        let place = place + tokens.first;
        // All sessions end at one place: what lies before this one's window lies before everyone's.
        self.drop_before(if tokens.first > 0 { place } else { 0 })?;
        let passed = (self.first - place).max(0);
        let [keys, values] = tokens.tokens()?;
        let at = place + passed - self.first..place + keys.dim(2) - self.first;
        for (held, new) in [(&mut self.keys, &keys), (&mut self.values, &values)] {
            held.try_index_mut((room..room + 1, .., at.clone(), ..), new.try_index((.., .., passed.., ..))?)?;
        }
        Ok(())
    }

    /// Writes tokens into `rooms` from `place` on by MLX's operations, which copy what others hold: keys and values
    /// `[rooms, kv_heads, n, head_dim]`. Returns those rooms' places from `seen` up to and including them.
    pub(super) fn append(&mut self, rooms: Range<i32>, place: i32, seen: i32, new: [&Array; 2]) -> Result<[Array; 2]> {
        let (start, end) = (place - self.first, place + new[0].dim(2) - self.first);
        let seen = seen - self.first;
        let append = |held: &mut Array, new: &Array| {
            held.try_index_mut((rooms.start..rooms.end, .., start..end, ..), new)?;
            held.try_index((rooms.start..rooms.end, .., seen..end, ..))
        };
        Ok([append(&mut self.keys, new[0])?, append(&mut self.values, new[1])?])
    }

    /// Keys and values, for a kernel that writes the places from `place` on.
    pub(super) fn writable_from(&mut self, place: i32) -> Result<[&Array; 2]> {
        match self.is_own_from(place) {
            true => Ok([&self.keys, &self.values]),
            false => Err(Exception::custom("a cache that others see can't be written in place")),
        }
    }
}

impl Frozen {
    /// The first `end` places; none where those before the layer's window are held no more and some would be missing.
    pub fn beginning(&self, end: i32) -> Option<Self> {
        let is_whole = end >= self.end || self.first == 0;
        is_whole.then(|| Self { end: end.min(self.end), ..self.clone() })
    }

    /// Keys and values `[rooms, kv_heads, places, head_dim]` of the places that are held.
    pub fn tokens(&self) -> Result<[Array; 2]> {
        let held = self.end - self.first;
        let of = |array: &Array| match array.dim(2) == held {
            true => Ok(array.clone()),
            false => array.try_index((.., .., ..held, ..)),
        };
        Ok([of(&self.keys)?, of(&self.values)?])
    }

    /// Bytes of the places that are held.
    pub fn bytes(&self) -> usize {
        let held = (self.end - self.first).max(0) as usize;
        (self.keys.nbytes() + self.values.nbytes()) / self.keys.dim(2).max(1) as usize * held
    }
}
