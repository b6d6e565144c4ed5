//! Caches and decode step of exact execution, and of batched where lengths are far apart: each session attends over
//! exactly its own tokens. No place is padded and nothing is masked.
//!
//! Sessions of about equal length share a cache, so that one operation writes the tokens of all. Those that stand side by
//! side in it and see equally many places are attended at once; that this changes nothing about what each of them gets is
//! what the probe at load makes sure of.

use super::super::cuda::HeadsPlan;
use super::attention::{Run, attend_each_run};
use super::shared::{Layout, SharedKvCache, Slot};
use super::{Attend, AttentionSettings, KvCache, padded_to, rows, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::ops::Range;

/// Sessions share a cache while their lengths differ by no more than so many tokens, so that a long one doesn't make the
/// others' take as much memory as its own.
pub const MOST_APART: i32 = 256;

/// The shared caches, each of sessions of about equal length.
#[derive(Debug, Default)]
pub struct ApartCaches(Vec<SharedKvCache>);

/// A session's place in one of the caches; dropping the last clone frees it.
#[derive(Clone, Debug)]
pub struct Seat {
    cache: usize,
    slot: Slot,
}

impl Seat {
    /// Seats of a step are taken in this order.
    pub fn order(&self) -> (usize, usize) {
        (self.cache, self.slot.index())
    }
}

impl ApartCaches {
    /// Moves a session's cache in. Where several join, the longest goes first.
    pub fn join(&mut self, tokens: &KvCache) -> Result<Seat> {
        self.clear_unused();
        let fitting = self.0.iter().position(|cache| cache.spread_with(tokens.length()) <= MOST_APART);
        let cache = fitting.unwrap_or(self.0.len());
        if cache == self.0.len() {
            self.0.push(SharedKvCache::default());
        }
        Ok(Seat { cache, slot: self.0[cache].join(tokens)? })
    }

    /// A copy of a session's tokens as a cache of its own.
    pub fn extract(&self, seat: &Seat) -> Result<KvCache> {
        self.0[seat.cache].extract(&seat.slot)
    }

    /// Packs the caches in which the `seats` that are about to take a step leave half of the places empty.
    pub fn tidy(&mut self, seats: &[Seat]) -> Result<()> {
        for (index, cache) in self.0.iter_mut().enumerate() {
            cache.tidy(seats.iter().filter(|seat| seat.cache == index).count())?;
        }
        Ok(())
    }

    /// Counts the token that all layers have taken for every session.
    pub fn advance(&mut self) {
        self.0.iter_mut().for_each(SharedKvCache::advance);
    }

    /// Frees the memory of caches that all sessions have left.
    pub fn clear_unused(&mut self) {
        self.0.iter_mut().for_each(SharedKvCache::clear_unused);
    }
}

/// One decode step of one cohort. A step may be wider than there are sessions: the rows behind the last session are
/// padding, which attends to nothing and gets zeros.
#[derive(Debug)]
pub struct UnpaddedStep<'a> {
    caches: &'a mut ApartCaches,
    parts: Vec<Part>,
    /// The most sessions to attend at once.
    most: usize,
}

/// The rows of a step whose sessions share a cache.
#[derive(Debug)]
struct Part {
    cache: usize,
    rows: Range<i32>,
    layout: Layout,
}

impl<'a> UnpaddedStep<'a> {
    /// A step of the sessions in `seats`, one token each, in order of their seats; at most `most` are attended at once.
    /// Seats before the first and behind the last keep what they hold.
    pub fn new(caches: &'a mut ApartCaches, seats: &[Seat], most: usize) -> Result<Self> {
        let (mut parts, mut first_row) = (Vec::new(), 0);
        for seats in seats.chunk_by(|one, other| one.cache == other.cache) {
            let slots: Vec<Slot> = seats.iter().map(|seat| seat.slot.clone()).collect();
            let (cache, first_room) = (seats[0].cache, slots[0].index());
            let layout = caches.0[cache].layout(&slots, slots.len(), first_room)?;
            let rows = first_row..first_row + slots.len() as i32;
            first_row = rows.end;
            parts.push(Part { cache, rows, layout });
        }
        Ok(Self { caches, parts, most: most.max(1) })
    }
}

impl Part {
    /// Rows that can be attended at once, where a token sees the places from `window_start` on.
    fn runs(&self, window_start: i32, most: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (row, (room, start)) in (0..).zip(self.layout.room_of_row.iter().zip(&self.layout.starts)) {
            let seen = window_start.max(*start);
            match runs.last_mut() {
                Some(run) if run.seen == seen && run.rooms.end == *room && run.rooms.len() < most => {
                    run.rooms.end += 1;
                    run.rows.end += 1;
                }
                _ => runs.push(Run { rows: row..row + 1, rooms: *room..*room + 1, seen }),
            }
        }
        runs
    }
}

impl Attend for UnpaddedStep<'_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let mut outputs = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let cache = &mut self.caches.0[part.cache];
            let of_part = |array: &Array| rows(array, part.rows.clone());
            let mut runs = part.runs(window_start(settings.window, cache.end()), self.most);
            let first = runs.iter().map(|run| run.seen).min().unwrap_or_default();
            runs.iter_mut().for_each(|run| run.seen -= first);
            let (keys, values) = (of_part(keys)?, of_part(values)?);
            let (keys, values) = cache.append(layer, &part.layout, settings.window, first, &keys, &values)?;
            outputs.push(attend_each_run(&of_part(queries)?, &keys, &values, &runs, settings)?);
        }
        padded_to(queries.dim(0), outputs)
    }

    fn attend_product(
        &mut self,
        layer: usize,
        x: &Array,
        plan: &HeadsPlan<'_>,
        settings: AttentionSettings,
    ) -> Result<Option<Array>> {
        let mut outputs = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let of_part = rows(x, part.rows.clone())?;
            let cache = &mut self.caches.0[part.cache];
            match cache.attend_product(layer, &part.layout, &of_part, plan, settings)? {
                Some(output) => outputs.push(output),
                None => return Ok(None),
            }
        }
        padded_to(x.dim(0), outputs).map(Some)
    }
}
