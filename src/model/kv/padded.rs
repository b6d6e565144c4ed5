//! Batched execution's decode step: all sessions of the shared cache attended at once, with a mask over what lies before
//! a session's first token.

use super::super::kernels::{self, Span};
use super::attention::{attend_one_token, attends_each_row};
use super::shared::{Layout, SharedKvCache, Slot};
use super::{Attend, AttentionSettings, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::arange;
use mlx_rs::ops::indexing::TryIndexOp;

/// One decode step over the shared cache.
#[derive(Debug)]
pub struct PaddedStep<'a> {
    cache: &'a mut SharedKvCache,
    layout: Layout,
    /// Which slot each row stands in, where that isn't the row's own number.
    slot_of_row: Option<Array>,
    /// The first place that a session of this step sees.
    first: i32,
    /// Which places each slot sees: bool [slots, 1, 1, places]; none where all see all.
    mask: Option<Array>,
}

impl<'a> PaddedStep<'a> {
    /// A step of the sessions in `slots`, one token each, in this order, followed by rows of padding up to `width` rows.
    pub fn new(cache: &'a mut SharedKvCache, slots: &[Slot], width: usize) -> Result<Self> {
        cache.tidy(slots.len())?;
        let layout = cache.layout(slots, width, 0)?;
        let slot_of_row = (!layout.is_in_order()).then(|| {
            let mut slot_of_row = layout.room_of_row.clone();
            slot_of_row.resize(width, 0);
            Array::from_slice(&slot_of_row, &[width as i32])
        });
        let first = layout.starts.iter().copied().min().unwrap_or(cache.end());
        // What is not a session's sees whatever is there: nobody reads what it gives.
        let mut starts = vec![first; layout.rooms.len()];
        for (room, start) in layout.room_of_row.iter().zip(&layout.starts) {
            starts[*room as usize] = *start;
        }
        let mask = if starts.iter().all(|start| *start == first) {
            None
        } else {
            let places = arange::<i32, i32>(first, cache.end() + 1, None)?;
            Some(places.ge(Array::from_slice(&starts, &[starts.len() as i32, 1, 1, 1]))?)
        };
        Ok(Self { cache, layout, slot_of_row, first, mask })
    }

    /// Counts the token that all layers have taken.
    pub fn finish(self) {
        self.cache.advance();
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
        let first = self.first.max(window_start(settings.window, self.cache.end()));
        let (keys, values) = self.cache.append(layer, &self.layout, settings.window, first, keys, values)?;
        if attends_each_row(queries, settings) {
            let end = self.cache.end() + 1 - first;
            let starts = self.layout.starts.iter().map(|start| (start - first).max(0));
            let of_row = |(room, start): (&i32, i32)| Span { room: *room, start, end };
            let mut spans: Vec<Span> = self.layout.room_of_row.iter().zip(starts).map(of_row).collect();
            spans.resize(queries.dim(0) as usize, Span::NOTHING);
            return kernels::attend(queries, &keys, &values, &spans, settings.scale);
        }
        let mask = match &self.mask {
            Some(mask) if first > self.first => Some(mask.try_index((.., .., .., first - self.first..))?),
            mask => mask.clone(),
        };
        let output = attend_one_token(&self.layout.by_room(queries)?, &keys, &values, mask, settings)?;
        match &self.slot_of_row {
            Some(slots) => output.take_axis(slots, 0),
            None => Ok(output),
        }
    }
}
