//! Exact execution's decode step: each session of the shared cache attends over exactly its own tokens. No place is
//! padded and nothing is masked.
//!
//! Sessions that stand side by side and see equally many places are attended at once; that this changes nothing about
//! what each of them gets is what the probe at load makes sure of.

use super::attention::{Run, attend_each_run};
use super::shared::{Layout, SharedKvCache, Slot};
use super::{Attend, AttentionSettings, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;

/// One decode step of one cohort over the shared cache. A step may be wider than there are sessions: the rows behind the
/// last session are padding, which attends to nothing and gets zeros.
#[derive(Debug)]
pub struct UnpaddedStep<'a> {
    cache: &'a mut SharedKvCache,
    layout: Layout,
    /// Each row's room, counted from the layout's first.
    rooms: Vec<i32>,
    /// The most sessions to attend at once.
    most: usize,
}

impl<'a> UnpaddedStep<'a> {
    /// A step of the sessions in `slots`, one token each, in order of their slots, `width` rows in all. Of other
    /// sessions' rooms only those before the first or behind the last of `slots` are left as they are.
    pub fn new(cache: &'a mut SharedKvCache, slots: &[Slot], width: usize, most: usize) -> Result<Self> {
        let first_room = slots.first().map_or(0, Slot::index);
        let layout = cache.layout(slots, width, first_room)?;
        let rooms = slots.iter().map(|slot| (slot.index() - first_room) as i32).collect();
        Ok(Self { cache, layout, rooms, most: most.max(1) })
    }

    /// Rows that can be attended at once, where a token sees the places from `window_start` on.
    fn runs(&self, window_start: i32) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (row, (room, start)) in (0..).zip(self.rooms.iter().zip(&self.layout.starts)) {
            let seen = window_start.max(*start);
            match runs.last_mut() {
                Some(run) if run.seen == seen && run.rooms.end == *room && run.rooms.len() < self.most => {
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
        let mut runs = self.runs(window_start(settings.window, self.cache.end()));
        let first = runs.iter().map(|run| run.seen).min().unwrap_or_default();
        runs.iter_mut().for_each(|run| run.seen -= first);
        let (keys, values) = self.cache.append(layer, &self.layout, settings.window, first, keys, values)?;
        attend_each_run(queries, &keys, &values, &runs, settings)
    }
}
