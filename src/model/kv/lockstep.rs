//! Caches of sessions that are equally long, held together, so that a decode step writes and attends all of a group
//! at once and still gives each session exactly its own tokens: no place is padded and nothing is masked.
//!
//! Sessions of one group take every step together and so stay equally long. Which sessions share a group changes
//! nothing about what each of them gets: that is what the probe at load makes sure of.

use super::attention::attend_one_token;
use super::{Attend, AttentionSettings, KvCache, LayerKv, padded_to, rows, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::{Rc, Weak};

/// A session's place in a group; dropping it frees the place.
#[derive(Debug)]
pub struct Seat {
    group: Rc<RefCell<Group>>,
    room: Rc<Cell<usize>>,
}

/// All groups.
#[derive(Debug, Default)]
pub struct LockstepCaches {
    groups: Vec<Rc<RefCell<Group>>>,
    /// The most sessions of a group.
    most: usize,
}

#[derive(Debug)]
struct Group {
    /// [rooms, kv_heads, capacity, head_dim] each; the sessions are in the first rooms.
    layers: Vec<LayerKv>,
    length: i32,
    /// Which room each session's seat names, in order of the rooms.
    sessions: Vec<Weak<Cell<usize>>>,
}

impl LockstepCaches {
    /// No groups yet, each of at most `most` sessions.
    pub fn new(most: usize) -> Self {
        Self { groups: Vec::new(), most }
    }

    /// Moves a session's cache into a group of its length.
    pub fn join(&mut self, cache: KvCache) -> Result<Seat> {
        self.sweep()?;
        let fits = |group: &&Rc<RefCell<Group>>| {
            let group = group.borrow();
            group.length == cache.length() && group.sessions.len() < self.most
        };
        match self.groups.iter().find(fits) {
            Some(group) => {
                let room = group.borrow_mut().add(&cache)?;
                Ok(Seat { group: Rc::clone(group), room })
            }
            None => Ok(self.found(Group { length: cache.length(), layers: cache.into_layers(), sessions: Vec::new() })),
        }
    }

    /// Brings the seats of a step into an order in which groups stand together: for each seat its place in `seats`. A
    /// group of which only some take part is parted.
    pub fn order(&mut self, seats: &mut [&mut Seat]) -> Result<Vec<usize>> {
        self.sweep()?;
        for index in 0..seats.len() {
            let group = Rc::clone(&seats[index].group);
            let present = seats.iter().filter(|seat| Rc::ptr_eq(&seat.group, &group)).count();
            if present < group.borrow().sessions.len() {
                let alone = group.borrow().part(seats[index].room.get())?;
                *seats[index] = self.found(alone);
                self.sweep()?;
            }
        }
        let place_of = |seat: &Seat| self.groups.iter().position(|group| Rc::ptr_eq(group, &seat.group));
        let mut order: Vec<usize> = (0..seats.len()).collect();
        order.sort_by_key(|index| (place_of(seats[*index]), seats[*index].room.get()));
        Ok(order)
    }

    /// Counts the token that all layers have taken for all of `seats`.
    pub fn advance(&mut self, seats: &[&mut Seat]) {
        for group in &self.groups {
            if seats.iter().any(|seat| Rc::ptr_eq(&seat.group, group)) {
                group.borrow_mut().length += 1;
            }
        }
    }

    /// A group of one session.
    fn found(&mut self, mut group: Group) -> Seat {
        let room = Rc::new(Cell::new(0));
        group.sessions = vec![Rc::downgrade(&room)];
        let group = Rc::new(RefCell::new(group));
        self.groups.push(Rc::clone(&group));
        Seat { group, room }
    }

    /// Closes the gaps of sessions that left.
    fn sweep(&mut self) -> Result<()> {
        for group in &self.groups {
            group.borrow_mut().close_gaps()?;
        }
        self.groups.retain(|group| !group.borrow().sessions.is_empty());
        Ok(())
    }
}

impl Seat {
    /// A copy of the session's tokens as a cache of its own.
    pub fn extract(&self) -> Result<KvCache> {
        let Group { layers, length, .. } = self.group.borrow().part(self.room.get())?;
        Ok(KvCache::from_layers(layers, length))
    }
}

impl Group {
    /// Takes a session of the group's length in, in doublings of the rooms.
    fn add(&mut self, cache: &KvCache) -> Result<Rc<Cell<usize>>> {
        let room = self.sessions.len() as i32;
        for (layer, tokens) in self.layers.iter_mut().zip(cache.layers()?) {
            if layer.rooms() == room {
                layer.add_rooms(room)?;
            }
            layer.write(room, tokens.first, &tokens)?;
        }
        let session = Rc::new(Cell::new(room as usize));
        self.sessions.push(Rc::downgrade(&session));
        Ok(session)
    }

    /// A copy of one room.
    fn part(&self, room: usize) -> Result<Self> {
        let layers = self.layers.iter().map(|layer| layer.part(room as i32, 0, self.length));
        Ok(Self { layers: layers.collect::<Result<_>>()?, length: self.length, sessions: Vec::new() })
    }

    /// Moves the last session into each room whose session left.
    fn close_gaps(&mut self) -> Result<()> {
        let mut room = 0;
        while room < self.sessions.len() {
            if self.sessions[room].strong_count() > 0 {
                room += 1;
                continue;
            }
            self.sessions.swap_remove(room);
            let last = self.sessions.len();
            if let Some(session) = self.sessions.get(room).and_then(Weak::upgrade) {
                self.copy_room(last as i32, room as i32)?;
                session.set(room);
            }
        }
        Ok(())
    }

    fn copy_room(&mut self, from: i32, to: i32) -> Result<()> {
        for layer in &mut self.layers {
            let moved = layer.part(from, 0, self.length)?;
            layer.write(to, moved.first, &moved)?;
        }
        Ok(())
    }
}

/// One decode step of sessions in groups. A step may be wider than there are sessions: the rows behind the last
/// session are padding, which attends to nothing and gets zeros.
#[derive(Debug)]
pub struct LockstepStep(Vec<(Rc<RefCell<Group>>, Range<i32>)>);

impl LockstepStep {
    /// A step of `seats`, in the order that [`LockstepCaches::order`] gave.
    pub fn new(seats: &[&mut Seat]) -> Self {
        let mut parts: Vec<(Rc<RefCell<Group>>, Range<i32>)> = Vec::new();
        for seat in seats {
            let room = seat.room.get() as i32;
            match parts.last_mut() {
                Some((group, rooms)) if Rc::ptr_eq(group, &seat.group) && rooms.end == room => rooms.end += 1,
                _ => parts.push((Rc::clone(&seat.group), room..room + 1)),
            }
        }
        Self(parts)
    }
}

impl Attend for LockstepStep {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let mut outputs = Vec::with_capacity(self.0.len() + 1);
        let mut row = 0;
        for (group, rooms) in &self.0 {
            let group = &mut *group.borrow_mut();
            let held = &mut group.layers[layer];
            let (seen, end) = (window_start(settings, group.length), group.length);
            held.make_room(seen, end + 1)?;
            let own = row..row + rooms.len() as i32;
            row = own.end;
            let (keys, values) = (rows(keys, own.clone())?, rows(values, own.clone())?);
            let (keys, values) = held.append(rooms.clone(), seen, end, &keys, &values)?;
            outputs.push(attend_one_token(&rows(queries, own)?, &keys, &values, None, settings)?);
        }
        padded_to(queries.dim(0), outputs)
    }
}
