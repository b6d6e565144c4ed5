//! Many sessions in one cache, aligned on the right, so that a decode step writes the tokens of all of them at once.
//!
//! Every session has a slot. All sessions write their next token at the same place, `end`; a session of n tokens holds
//! the places from `end − n` on, and nobody reads what lies before. A slot whose session left is reused by the next
//! that joins; when half of the slots are empty, the cache is packed.

use super::session::make_room;
use crate::model::kernels::{Kernels, KvSnapshot, KvStore, Layout, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::cell::Cell;
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
    /// Empty before the first session joined.
    store: KvStore,
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

impl SharedKvCache {
    /// Moves sessions' caches in, the longest first, and grows once for all of them. Their slots are in the same order.
    pub fn join(&mut self, kernels: &dyn Kernels, joining: &[KvSnapshot]) -> Result<Vec<Slot>> {
        let Some(longest) = joining.first() else { return Ok(Vec::new()) };
        let is_new = self.make_place(kernels, longest, joining.len())?;
        (0..).zip(joining).map(|(index, tokens)| self.take_in(tokens, is_new && index == 0)).collect()
    }

    /// Makes room for `sessions` more, of which `longest` is the longest; says whether it already holds that one's tokens,
    /// as the first of all.
    fn make_place(&mut self, kernels: &dyn Kernels, longest: &KvSnapshot, sessions: usize) -> Result<bool> {
        self.drop_trailing();
        let is_new = self.slots.is_empty();
        if is_new {
            (self.store, self.end) = (KvStore::of(longest)?, longest.length());
            // While there is one room, places are added for less.
            for layer in (0..self.store.layers()).filter(|_| sessions > 1) {
                make_room(&mut self.store, kernels, layer, 0..self.end, self.end + 1, self.end + 1)?;
            }
        } else {
            self.shift_right(longest.length() - self.end)?;
        }
        let free = self.slots.iter().filter(|slot| !slot.is_live()).count();
        self.make_rooms(self.slots.len() + sessions.saturating_sub(free))?;
        Ok(is_new)
    }

    /// Moves a session's tokens into a free room, unless they are there.
    fn take_in(&mut self, tokens: &KvSnapshot, is_there: bool) -> Result<Slot> {
        let free = self.slots.iter().position(|slot| !slot.is_live());
        let slot = free.unwrap_or(self.slots.len());
        let start = self.end - tokens.length();
        if !is_there {
            self.store.take_in(slot as i32, start, tokens)?;
        }
        let session = Rc::new(Cell::new(slot));
        let state = SlotState { start, session: Rc::downgrade(&session) };
        match self.slots.get_mut(slot) {
            Some(free) => *free = state,
            None => self.slots.push(state),
        }
        Ok(Slot(session))
    }

    /// A copy of a session's tokens.
    pub fn extract(&mut self, slot: &Slot) -> Result<KvSnapshot> {
        let start = self.slots[slot.index()].start;
        self.store.part(slot.index() as i32, start, self.end)
    }

    /// Packs the cache where the `sessions` that are about to take a step leave half of its slots empty.
    pub fn tidy(&mut self, sessions: usize) -> Result<()> {
        self.drop_trailing();
        if sessions * 2 <= self.slots.len() { self.pack() } else { Ok(()) }
    }

    /// The lengths of the shortest and of the longest session; none without sessions.
    pub fn lengths(&self) -> Option<(i32, i32)> {
        let lengths = || self.slots.iter().filter(|slot| slot.is_live()).map(|slot| self.end - slot.start);
        lengths().min().zip(lengths().max())
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

    /// How a step of the sessions in `slots`, one token each, in this order, lies in the cache.
    pub fn layout(&self, slots: &[Slot]) -> Layout {
        let rooms = slots.iter().map(|slot| slot.index() as i32).collect();
        let starts = slots.iter().map(|slot| self.slots[slot.index()].start).collect();
        Layout::new(self.end, rooms, starts)
    }

    pub(super) fn store(&mut self) -> &mut KvStore {
        &mut self.store
    }

    /// Makes room in `layer` for all sessions' next tokens.
    pub(super) fn make_room(&mut self, kernels: &dyn Kernels, layer: usize, window: Option<i32>) -> Result<()> {
        let live = self.slots.iter().filter(|slot| slot.is_live());
        let first_needed = live.map(|slot| slot.start).min().unwrap_or(self.end);
        let kept = first_needed.max(window_start(window, self.end))..self.end;
        make_room(&mut self.store, kernels, layer, kept, self.end + 1, self.end + 1)
    }

    fn drop_trailing(&mut self) {
        while self.slots.last().is_some_and(|slot| !slot.is_live()) {
            self.slots.pop();
        }
    }

    /// In doublings, so that n joins copy the cache log n times.
    fn make_rooms(&mut self, needed: usize) -> Result<()> {
        let rooms = self.store.rooms();
        if rooms >= needed as i32 {
            return Ok(());
        }
        let doubled = (needed as i32).max(2 * rooms);
        self.store.rearrange(|layer| layer.add_rooms(doubled - rooms))
    }

    /// Makes room on the left for a session that is longer than all others.
    fn shift_right(&mut self, places: i32) -> Result<()> {
        if places <= 0 {
            return Ok(());
        }
        self.store.rearrange(|layer| layer.shift_right(places))?;
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
        let rooms = Array::from_slice(&live, &[live.len() as i32]);
        self.store.rearrange(|layer| layer.keep_rooms(&rooms))?;
        self.slots.retain(SlotState::is_live);
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(session) = slot.session.upgrade() {
                session.set(index);
            }
        }
        Ok(())
    }
}
