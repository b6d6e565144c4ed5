//! Many sessions in one cache, aligned on the right, so that a decode step writes the tokens of all of them at once.
//!
//! Every session has a room. All sessions write their next token at the same place, `end`; a session of n tokens holds
//! the places from `end − n` on, and nobody reads what lies before. A room whose session left is reused by the next
//! that joins; when half of the rooms are empty, the cache is packed.

use super::session::make_room;
use crate::model::kernels::{Kernels, KvSnapshot, KvStore, Layout, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::cell::Cell;
use std::rc::{Rc, Weak};

/// A session's part of the shared cache; dropping the last clone frees it.
#[derive(Clone, Debug)]
pub struct Room(Rc<Cell<usize>>);

impl Room {
    /// Its number among the cache's rooms now; sessions that leave or join may move it.
    pub fn index(&self) -> usize {
        self.0.get()
    }
}

/// The shared cache.
#[derive(Debug, Default)]
pub struct SharedKvCache {
    /// Empty before the first session joined.
    store: KvStore,
    rooms: Vec<RoomState>,
    end: i32,
}

#[derive(Debug)]
struct RoomState {
    /// The first place that holds a token of the session.
    start: i32,
    session: Weak<Cell<usize>>,
}

impl RoomState {
    fn is_live(&self) -> bool {
        self.session.strong_count() > 0
    }
}

impl SharedKvCache {
    /// Moves sessions' caches in, the longest first, and grows once for all of them. Their rooms are in the same order.
    pub fn join(&mut self, kernels: &dyn Kernels, joining: &[KvSnapshot]) -> Result<Vec<Room>> {
        let Some(longest) = joining.first() else { return Ok(Vec::new()) };
        let is_new = self.make_room_for(kernels, longest, joining.len())?;
        (0..).zip(joining).map(|(index, tokens)| self.take_in(tokens, is_new && index == 0)).collect()
    }

    /// Makes room for `sessions` more, of which `longest` is the longest; says whether it already holds that one's tokens,
    /// as the first of all.
    fn make_room_for(&mut self, kernels: &dyn Kernels, longest: &KvSnapshot, sessions: usize) -> Result<bool> {
        self.drop_trailing();
        let is_new = self.rooms.is_empty();
        if is_new {
            (self.store, self.end) = (KvStore::of(longest)?, longest.length());
            // While there is one room, places are added for less.
            for layer in (0..self.store.layers()).filter(|_| sessions > 1) {
                make_room(&mut self.store, kernels, layer, 0..self.end, self.end + 1, self.end + 1)?;
            }
        } else {
            self.shift_right(longest.length() - self.end)?;
        }
        let free = self.rooms.iter().filter(|room| !room.is_live()).count();
        self.make_rooms(self.rooms.len() + sessions.saturating_sub(free))?;
        Ok(is_new)
    }

    /// Moves a session's tokens into a free room, unless they are there.
    fn take_in(&mut self, tokens: &KvSnapshot, is_there: bool) -> Result<Room> {
        let free = self.rooms.iter().position(|room| !room.is_live());
        let room = free.unwrap_or(self.rooms.len());
        let start = self.end - tokens.length();
        if !is_there {
            self.store.take_in(room as i32, start, tokens)?;
        }
        let session = Rc::new(Cell::new(room));
        let state = RoomState { start, session: Rc::downgrade(&session) };
        match self.rooms.get_mut(room) {
            Some(free) => *free = state,
            None => self.rooms.push(state),
        }
        Ok(Room(session))
    }

    /// A copy of a session's tokens.
    pub fn extract(&mut self, room: &Room) -> Result<KvSnapshot> {
        let start = self.rooms[room.index()].start;
        self.store.part(room.index() as i32, start, self.end)
    }

    /// Packs the cache where the `sessions` that are about to take a step leave half of its rooms empty.
    pub fn tidy(&mut self, sessions: usize) -> Result<()> {
        self.drop_trailing();
        if sessions * 2 <= self.rooms.len() { self.pack() } else { Ok(()) }
    }

    /// The lengths of the shortest and of the longest session; none without sessions.
    pub fn lengths(&self) -> Option<(i32, i32)> {
        let lengths = || self.rooms.iter().filter(|room| room.is_live()).map(|room| self.end - room.start);
        lengths().min().zip(lengths().max())
    }

    /// Counts the token that all layers have taken for every session.
    pub fn advance(&mut self) {
        self.end += 1;
    }

    /// Frees the memory where all sessions have left.
    pub fn clear_unused(&mut self) {
        self.drop_trailing();
        if self.rooms.is_empty() {
            *self = Self::default();
        }
    }

    /// How a step of the sessions in `rooms`, one token each, in this order, lies in the cache.
    pub fn layout(&self, rooms: &[Room]) -> Layout {
        let room_of_row = rooms.iter().map(|room| room.index() as i32).collect();
        let starts = rooms.iter().map(|room| self.rooms[room.index()].start).collect();
        Layout::new(self.end, room_of_row, starts)
    }

    pub(super) fn store(&mut self) -> &mut KvStore {
        &mut self.store
    }

    /// Makes room in `layer` for all sessions' next tokens.
    pub(super) fn make_room(&mut self, kernels: &dyn Kernels, layer: usize, window: Option<i32>) -> Result<()> {
        let live = self.rooms.iter().filter(|room| room.is_live());
        let first_needed = live.map(|room| room.start).min().unwrap_or(self.end);
        let kept = first_needed.max(window_start(window, self.end))..self.end;
        make_room(&mut self.store, kernels, layer, kept, self.end + 1, self.end + 1)
    }

    fn drop_trailing(&mut self) {
        while self.rooms.last().is_some_and(|room| !room.is_live()) {
            self.rooms.pop();
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
        for room in &mut self.rooms {
            room.start += places;
        }
        self.end += places;
        Ok(())
    }

    /// Moves the live sessions together.
    fn pack(&mut self) -> Result<()> {
        let live: Vec<i32> =
            (0..).zip(&self.rooms).filter(|(_, room)| room.is_live()).map(|(index, _)| index).collect();
        let rooms = Array::from_slice(&live, &[live.len() as i32]);
        self.store.rearrange(|layer| layer.keep_rooms(&rooms))?;
        self.rooms.retain(RoomState::is_live);
        for (index, room) in self.rooms.iter().enumerate() {
            if let Some(session) = room.session.upgrade() {
                session.set(index);
            }
        }
        Ok(())
    }
}
