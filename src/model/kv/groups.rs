//! Shared caches, each of sessions of about equal length.

use super::shared::{Room, SharedKvCache};
use crate::model::kernels::{Kernels, KvSnapshot, Layout};
use mlx_rs::error::Result;

/// Sessions share a cache while their lengths differ by no more than so many tokens, so that a long one doesn't make the
/// others' take as much memory as its own.
const MOST_APART: i32 = 256;

/// The shared caches of an execution's sessions.
#[derive(Debug, Default)]
pub struct Groups(Vec<SharedKvCache>);

/// A session's room in one of the caches; dropping the last clone frees it.
#[derive(Clone, Debug)]
pub struct Seat {
    group: usize,
    room: Room,
}

impl Seat {
    /// A step takes its sessions in this order.
    pub fn order(&self) -> (usize, usize) {
        (self.group, self.room.index())
    }
}

impl Groups {
    /// Moves sessions' caches in, the longest first; their seats are in the same order.
    pub fn join(&mut self, kernels: &dyn Kernels, joining: &[KvSnapshot]) -> Result<Vec<Seat>> {
        self.clear_unused();
        let mut lengths: Vec<Option<(i32, i32)>> = self.0.iter().map(SharedKvCache::lengths).collect();
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); lengths.len()];
        for (index, tokens) in joining.iter().enumerate() {
            let length = tokens.length();
            let with_it = |known: Option<(i32, i32)>| {
                known.map_or((length, length), |(shortest, longest)| (shortest.min(length), longest.max(length)))
            };
            let fits = |known: &Option<(i32, i32)>| {
                let (shortest, longest) = with_it(*known);
                longest - shortest <= MOST_APART
            };
            let group = lengths.iter().position(fits).unwrap_or(lengths.len());
            if group == lengths.len() {
                lengths.push(None);
                members.push(Vec::new());
            }
            lengths[group] = Some(with_it(lengths[group]));
            members[group].push(index);
        }
        self.0.resize_with(members.len(), SharedKvCache::default);
        let mut seats: Vec<Option<Seat>> = vec![None; joining.len()];
        for (group, members) in members.into_iter().enumerate() {
            let tokens: Vec<KvSnapshot> = members.iter().map(|index| joining[*index].clone()).collect();
            let rooms = self.0[group].join(kernels, &tokens)?;
            for (index, room) in members.into_iter().zip(rooms) {
                seats[index] = Some(Seat { group, room });
            }
        }
        Ok(seats.into_iter().flatten().collect())
    }

    /// A copy of a session's tokens.
    pub fn extract(&mut self, seat: &Seat) -> Result<KvSnapshot> {
        self.0[seat.group].extract(&seat.room)
    }

    /// Packs the caches in which the `seats` that are about to take a step leave half of the rooms empty.
    pub fn tidy(&mut self, seats: &[Seat]) -> Result<()> {
        for (index, cache) in self.0.iter_mut().enumerate() {
            cache.tidy(seats.iter().filter(|seat| seat.group == index).count())?;
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

    /// The caches of the sessions in `seats`, which are in their order, and how a step of one token each lies in each of
    /// them.
    pub(super) fn step(&mut self, seats: &[Seat]) -> (Vec<&mut SharedKvCache>, Vec<Layout>) {
        let of_group = |group: usize| -> Vec<Room> {
            seats.iter().filter(|seat| seat.group == group).map(|seat| seat.room.clone()).collect()
        };
        let in_step = self.0.iter_mut().enumerate().filter_map(|(group, cache)| {
            let rooms = of_group(group);
            let layout = (!rooms.is_empty()).then(|| cache.layout(&rooms))?;
            Some((cache, layout))
        });
        in_step.unzip()
    }
}
