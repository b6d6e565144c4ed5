//! Many sessions in one cache, aligned on the right, so that a decode step writes the tokens of all of them at once.
//!
//! Every session has a slot. All sessions write their next token at the same place, `end`; a session of n tokens holds
//! the places from `end − n` on, and nobody reads what lies before. A slot whose session left is reused by the next
//! that joins; when half of the slots are empty, the cache is packed.

use super::super::cuda::HeadsPlan;
use super::newest::{Newest, is_taken};
use super::{AttentionSettings, KvCache, LayerKv, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::cell::Cell;
use std::ops::Range;
use std::rc::{Rc, Weak};

/// A session's place in the shared cache; dropping the last clone frees it.
#[derive(Clone, Debug)]
pub struct Slot(Rc<Cell<usize>>);

impl Slot {
    /// Where it stands among the cache's slots now; sessions that leave or join may move it.
    pub fn index(&self) -> usize {
        self.0.get()
    }
}

/// The shared cache.
#[derive(Debug, Default)]
pub struct SharedKvCache {
    /// [rooms, kv_heads, capacity, head_dim] each; empty before the first session joined.
    layers: Vec<LayerKv>,
    slots: Vec<SlotState>,
    end: i32,
    newest: Newest,
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

impl SharedKvCache {
    /// Moves a session's cache in. Where several join one by one, the longest goes first: a longer one than all others
    /// moves them.
    pub fn join(&mut self, cache: &KvCache) -> Result<Slot> {
        let is_new = self.make_place(cache, 1)?;
        self.take_in(cache, is_new)
    }

    /// Moves sessions' caches in, the longest first, and grows once for all of them. Their slots are in the same order.
    pub fn join_all(&mut self, joining: &[KvCache]) -> Result<Vec<Slot>> {
        let Some(longest) = joining.first() else { return Ok(Vec::new()) };
        let is_new = self.make_place(longest, joining.len())?;
        (0..).zip(joining).map(|(index, cache)| self.take_in(cache, is_new && index == 0)).collect()
    }

    /// Makes room for `sessions` more, of which `longest` is the longest; says whether it already holds that one's tokens,
    /// as the first of all.
    fn make_place(&mut self, longest: &KvCache, sessions: usize) -> Result<bool> {
        self.drop_trailing();
        let is_new = self.slots.is_empty();
        if is_new {
            (self.layers, self.end) = (longest.layers()?, longest.length());
            for layer in self.layers.iter_mut().filter(|_| sessions > 1) {
                layer.make_room(layer.first, self.end + 1)?;
            }
        } else {
            self.shift_right(longest.length() - self.end)?;
        }
        let free = self.slots.iter().filter(|slot| !slot.is_live()).count();
        self.make_rooms(self.slots.len() + sessions.saturating_sub(free))?;
        Ok(is_new)
    }

    /// Moves a session's cache into a free room, unless it is there.
    fn take_in(&mut self, cache: &KvCache, is_there: bool) -> Result<Slot> {
        let free = self.slots.iter().position(|slot| !slot.is_live());
        let slot = free.unwrap_or(self.slots.len());
        let start = self.end - cache.length();
        for (layer, tokens) in self.layers.iter_mut().zip(cache.layers()?).filter(|_| !is_there) {
            // All sessions end at one place: what lies before this one's window lies before everyone's.
            layer.drop_before(if tokens.first > 0 { start + tokens.first } else { 0 })?;
            layer.write(slot as i32, start + tokens.first, &tokens)?;
        }
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

    /// Packs the cache where the `sessions` that are about to take a step leave half of its slots empty.
    pub fn tidy(&mut self, sessions: usize) -> Result<()> {
        self.drop_trailing();
        if sessions * 2 <= self.slots.len() { self.pack() } else { Ok(()) }
    }

    /// By how much the sessions' lengths differ at most once one of `length` tokens joins.
    pub(super) fn spread_with(&self, length: i32) -> i32 {
        let lengths = self.slots.iter().filter(|slot| slot.is_live()).map(|slot| self.end - slot.start);
        let (shortest, longest) = lengths.fold((length, length), |(low, high), next| (low.min(next), high.max(next)));
        longest - shortest
    }

    /// Counts the token that all layers have taken for every session.
    pub fn advance(&mut self) {
        self.end += 1;
    }

    /// Frees the memory where all sessions have left.
    pub fn clear_unused(&mut self) {
        self.drop_trailing();
        if self.slots.is_empty() {
            *self = Self::default();
        }
    }

    /// How a step of the sessions in `slots`, one token each, in this order, followed by rows of padding up to `width`
    /// rows, lies in the rooms from `first_room` on.
    pub(super) fn layout(&mut self, slots: &[Slot], width: usize, first_room: usize) -> Result<Layout> {
        let last = slots.iter().map(|slot| slot.index() + 1).max().unwrap_or(0);
        let rooms = first_room..last.max(first_room + width);
        self.make_rooms(rooms.end)?;
        let in_order = rooms.len() == width && slots.iter().zip(rooms.clone()).all(|(slot, room)| slot.index() == room);
        let room_of_row: Vec<i32> = slots.iter().map(|slot| (slot.index() - first_room) as i32).collect();
        let row_of_slot = (!in_order).then(|| {
            // Rooms without a session get row 0's token, which nobody sees.
            let mut rows = vec![0_i32; rooms.len()];
            for (row, room) in (0..).zip(&room_of_row) {
                rows[*room as usize] = row;
            }
            Array::from_slice(&rows, &[rows.len() as i32])
        });
        let starts = slots.iter().map(|slot| self.slots[slot.index()].start).collect();
        let rooms = rooms.start as i32..rooms.end as i32;
        Ok(Layout { rooms, room_of_row, row_of_slot, starts, needed: self.first_needed() })
    }

    /// Writes a step's keys and values [width, kv_heads, head_dim] at the common end; returns those of the layout's rooms
    /// from place `seen` up to and including them.
    pub(super) fn append(
        &mut self,
        layer: usize,
        layout: &Layout,
        window: Option<i32>,
        seen: i32,
        keys: &Array,
        values: &Array,
    ) -> Result<(Array, Array)> {
        let end = self.end;
        let held = &mut self.layers[layer];
        held.make_room(layout.needed.max(window_start(window, end)), end + 1)?;
        held.append(layout.rooms.clone(), seen, end, &layout.by_room(keys)?, &layout.by_room(values)?)
    }

    /// What [`Attend::attend_product`](super::Attend::attend_product) does, for rows that lie as `layout` says.
    pub(super) fn attend_product(
        &mut self,
        layer: usize,
        layout: &Layout,
        x: &Array,
        plan: &HeadsPlan<'_>,
        settings: AttentionSettings,
    ) -> Result<Option<Array>> {
        let (held, end) = (&mut self.layers[layer], self.end);
        if !is_taken(x, plan, held, settings) {
            return Ok(None);
        }
        held.make_room(layout.needed.max(window_start(settings.window, end)), end + 1)?;
        let rooms = layout.room_of_row.iter().map(|room| layout.rooms.start + room);
        let rows = rooms.zip(layout.starts.iter().copied());
        self.newest.attend(x, plan, held, rows, end, settings).map(Some)
    }

    /// The place at which all sessions write their next token.
    pub(super) fn end(&self) -> i32 {
        self.end
    }

    /// The first place that any session holds.
    fn first_needed(&self) -> i32 {
        let live = self.slots.iter().filter(|slot| slot.is_live());
        live.map(|slot| slot.start).min().unwrap_or(self.end)
    }

    fn drop_trailing(&mut self) {
        while self.slots.last().is_some_and(|slot| !slot.is_live()) {
            self.slots.pop();
        }
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

/// How the rows of a step lie in the cache's rooms.
#[derive(Debug)]
pub(super) struct Layout {
    pub rooms: Range<i32>,
    /// Each session's room, counted from the first.
    pub room_of_row: Vec<i32>,
    /// For each room the row whose token is written there, where they aren't the same.
    row_of_slot: Option<Array>,
    /// The first place of each row's session.
    pub starts: Vec<i32>,
    /// The first place that a session holds, whether it takes part or not.
    needed: i32,
}

impl Layout {
    /// [width, ..] → [rooms, ..].
    pub fn by_room(&self, array: &Array) -> Result<Array> {
        match &self.row_of_slot {
            Some(rows) => array.take_axis(rows, 0),
            None => Ok(array.clone()),
        }
    }

    /// Whether row i stands in the i-th room.
    pub fn is_in_order(&self) -> bool {
        self.row_of_slot.is_none()
    }
}
