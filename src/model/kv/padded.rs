//! Many sessions in one cache, padded on the left, so that a decode step writes and attends all of them at once.
//!
//! Every session has a slot. All sessions write their next token at the same place, `end`; a session of n tokens holds
//! the places from `end − n` on, and a mask hides what lies before. A slot whose session left is reused by the next
//! that joins; when half of the slots are empty, the cache is packed.

use super::attention::attend_one_token;
use super::{Attend, AttentionSettings, KvCache, LayerKv, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::arange;
use mlx_rs::ops::indexing::TryIndexOp;
use std::cell::Cell;
use std::rc::{Rc, Weak};

/// A session's place in the padded cache; dropping the last clone frees it.
#[derive(Clone, Debug)]
pub struct Slot(Rc<Cell<usize>>);

impl Slot {
    fn index(&self) -> usize {
        self.0.get()
    }
}

/// The shared cache.
#[derive(Debug, Default)]
pub struct PaddedKvCache {
    /// [rooms, kv_heads, capacity, head_dim] each; empty before the first session joined.
    layers: Vec<LayerKv>,
    slots: Vec<SlotState>,
    end: i32,
}

#[derive(Debug)]
struct SlotState {
    /// The first place that holds a token of the session.
    start: i32,
    session: Weak<Cell<usize>>,
}

impl SlotState {
    fn is_live(&self) -> bool {
        self.session.strong_count() > 0
    }
}

impl PaddedKvCache {
    /// Moves a session's cache in.
    pub fn join(&mut self, cache: &KvCache) -> Result<Slot> {
        let length = cache.length();
        self.drop_trailing();
        let slot = if self.slots.is_empty() {
            self.layers = cache.layers()?;
            self.end = length;
            0
        } else {
            self.shift_right(length - self.end)?;
            let slot = self.free_slot()?;
            let start = self.end - length;
            for (layer, tokens) in self.layers.iter_mut().zip(cache.layers()?) {
                // All sessions end at one place: what lies before this one's window lies before everyone's.
                layer.drop_before(if tokens.first > 0 { start + tokens.first } else { 0 })?;
                layer.write(slot as i32, start + tokens.first, &tokens)?;
            }
            slot
        };
        let start = self.end - length;
        let session = Rc::new(Cell::new(slot));
        let state = SlotState { start, session: Rc::downgrade(&session) };
        match self.slots.get_mut(slot) {
            Some(free) => *free = state,
            None => self.slots.push(state),
        }
        Ok(Slot(session))
    }

    /// A copy of a session's tokens as a cache of its own.
    pub fn extract(&self, slot: &Slot) -> Result<KvCache> {
        let start = self.slots[slot.index()].start;
        let layers = self.layers.iter().map(|layer| layer.part(slot.index() as i32, start, self.end));
        Ok(KvCache::from_layers(layers.collect::<Result<_>>()?, self.end - start))
    }

    /// Begins a step of the sessions in `slots`, one token each, in this order, followed by rows of padding up to
    /// `width` rows.
    pub fn step(&mut self, slots: &[Slot], width: usize) -> Result<PaddedStep<'_>> {
        self.drop_trailing();
        if slots.len() * 2 <= self.slots.len() {
            self.pack()?;
        }
        let used = self.slots.len().max(width);
        self.make_rooms(used)?;
        let in_order = used == width && slots.iter().enumerate().all(|(row, slot)| slot.index() == row);
        let spread = if in_order { None } else { Some(Spread::new(slots, used, width)) };
        let first = slots.iter().map(|slot| self.slots[slot.index()].start).min().unwrap_or(self.end);
        // What is not a session's sees whatever is there: nobody reads what it gives.
        let mut starts = vec![first; used];
        for slot in slots {
            starts[slot.index()] = self.slots[slot.index()].start;
        }
        let mask = if starts.iter().all(|start| *start == first) {
            None
        } else {
            let places = arange::<i32, i32>(first, self.end + 1, None)?;
            Some(places.ge(Array::from_slice(&starts, &[used as i32, 1, 1, 1]))?)
        };
        let live = self.slots.iter().filter(|slot| slot.is_live());
        let needed = live.map(|slot| slot.start).min().unwrap_or(first);
        Ok(PaddedStep { cache: self, spread, used: used as i32, needed, first, mask })
    }

    /// Frees the memory where all sessions have left.
    pub fn clear_unused(&mut self) {
        self.drop_trailing();
        if self.slots.is_empty() {
            *self = Self::default();
        }
    }

    fn drop_trailing(&mut self) {
        while self.slots.last().is_some_and(|slot| !slot.is_live()) {
            self.slots.pop();
        }
    }

    /// A slot without a session.
    fn free_slot(&mut self) -> Result<usize> {
        if let Some(free) = self.slots.iter().position(|slot| !slot.is_live()) {
            return Ok(free);
        }
        self.make_rooms(self.slots.len() + 1)?;
        Ok(self.slots.len())
    }

    /// In doublings, so that n joins copy the cache log n times.
    fn make_rooms(&mut self, needed: usize) -> Result<()> {
        for layer in &mut self.layers {
            let rooms = layer.rooms();
            let doubled = (needed as i32).max(2 * rooms);
            if rooms < needed as i32 {
                layer.add_rooms(doubled - rooms)?;
            }
        }
        Ok(())
    }

    /// Makes room on the left for a session that is longer than all others.
    fn shift_right(&mut self, places: i32) -> Result<()> {
        if places <= 0 {
            return Ok(());
        }
        for layer in &mut self.layers {
            layer.shift_right(places)?;
        }
        for slot in &mut self.slots {
            slot.start += places;
        }
        self.end += places;
        Ok(())
    }

    /// Moves the live sessions together.
    fn pack(&mut self) -> Result<()> {
        let live: Vec<i32> =
            (0..).zip(&self.slots).filter(|(_, slot)| slot.is_live()).map(|(index, _)| index).collect();
        let rows = Array::from_slice(&live, &[live.len() as i32]);
        for layer in &mut self.layers {
            layer.keys = layer.keys.take_axis(&rows, 0)?;
            layer.values = layer.values.take_axis(&rows, 0)?;
        }
        self.slots.retain(SlotState::is_live);
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(session) = slot.session.upgrade() {
                session.set(index);
            }
        }
        Ok(())
    }
}

/// Which row of a step stands in which slot, where they aren't the same.
#[derive(Debug)]
struct Spread {
    /// For each slot the row whose token is written there; slots without a session get row 0's, which nobody sees.
    row_of_slot: Array,
    slot_of_row: Array,
}

impl Spread {
    fn new(slots: &[Slot], used: usize, width: usize) -> Self {
        let mut row_of_slot = vec![0_i32; used];
        let mut slot_of_row = vec![0_i32; width];
        for (row, slot) in slots.iter().enumerate() {
            row_of_slot[slot.index()] = row as i32;
            slot_of_row[row] = slot.index() as i32;
        }
        Self {
            row_of_slot: Array::from_slice(&row_of_slot, &[used as i32]),
            slot_of_row: Array::from_slice(&slot_of_row, &[width as i32]),
        }
    }
}

/// One decode step over the padded cache.
#[derive(Debug)]
pub struct PaddedStep<'a> {
    cache: &'a mut PaddedKvCache,
    spread: Option<Spread>,
    /// Slots that take part, those of padding included.
    used: i32,
    /// The first place that a session uses, whether it takes part or not.
    needed: i32,
    /// The first place that a session of this step sees.
    first: i32,
    /// Which places each slot sees: bool [slots, 1, 1, places]; none where all see all.
    mask: Option<Array>,
}

impl PaddedStep<'_> {
    /// Counts the token that all layers have taken.
    pub fn finish(self) {
        self.cache.end += 1;
    }
}

impl Attend for PaddedStep<'_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let into_slots = |array: &Array| match &self.spread {
            Some(spread) => array.take_axis(&spread.row_of_slot, 0),
            None => Ok(array.clone()),
        };
        let end = self.cache.end;
        let first = self.first.max(window_start(settings, end));
        let held = &mut self.cache.layers[layer];
        held.make_room(self.needed.max(window_start(settings, end)), end + 1)?;
        let (keys, values) = (into_slots(keys)?, into_slots(values)?);
        let (keys, values) = held.append(0..self.used, first, end, &keys, &values)?;
        let mask = match &self.mask {
            Some(mask) if first > self.first => Some(mask.try_index((.., .., .., first - self.first..))?),
            mask => mask.clone(),
        };
        let output = attend_one_token(&into_slots(queries)?, &keys, &values, mask, settings)?;
        match &self.spread {
            Some(spread) => output.take_axis(&spread.slot_of_row, 0),
            None => Ok(output),
        }
    }
}
