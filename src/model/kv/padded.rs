//! Batched execution's decode step: all sessions of the shared cache attended at once, with a mask over what lies before
//! a session's first token.

use super::super::cuda::HeadsPlan;
use super::super::kernels::{self, Span};
use super::attention::{attend_one_token, attends_each_row};
use super::shared::{Layout, SharedKvCache, Slot};
use super::{Attend, AttentionSettings, window_start};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::arange;
use mlx_rs::ops::indexing::TryIndexOp;
use std::cell::OnceCell;

/// One decode step over the shared cache.
#[derive(Debug)]
pub struct PaddedStep<'a> {
    cache: &'a mut SharedKvCache,
    layout: Layout,
    /// Which slot each row stands in, where that isn't the row's own number.
    slot_of_row: Option<Array>,
    /// The first place that a session of this step sees.
    first: i32,
    /// Which places each slot sees: bool [slots, 1, 1, places]; none where all see all. Made when it is first asked for.
    mask: OnceCell<Option<Array>>,
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
        Ok(Self { cache, layout, slot_of_row, first, mask: OnceCell::new() })
    }

    fn mask(&self) -> Result<Option<Array>> {
        if let Some(mask) = self.mask.get() {
            return Ok(mask.clone());
        }
        // What is not a session's sees whatever is there: nobody reads what it gives.
        let mut starts = vec![self.first; self.layout.rooms.len()];
        for (room, start) in self.layout.room_of_row.iter().zip(&self.layout.starts) {
            starts[*room as usize] = *start;
        }
        let mask = if starts.iter().all(|start| *start == self.first) {
            None
        } else {
            let places = arange::<i32, i32>(self.first, self.cache.end() + 1, None)?;
            Some(places.ge(Array::from_slice(&starts, &[starts.len() as i32, 1, 1, 1]))?)
        };
        Ok(self.mask.get_or_init(|| mask).clone())
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
        let mask = match self.mask()? {
            Some(mask) if first > self.first => Some(mask.try_index((.., .., .., first - self.first..))?),
            mask => mask,
        };
        let output = attend_one_token(&self.layout.by_room(queries)?, &keys, &values, mask, settings)?;
        match &self.slot_of_row {
            Some(slots) => output.take_axis(slots, 0),
            None => Ok(output),
        }
    }

    fn attend_product(
        &mut self,
        layer: usize,
        x: &Array,
        plan: &HeadsPlan<'_>,
        settings: AttentionSettings,
    ) -> Result<Option<Array>> {
        self.cache.attend_product(layer, &self.layout, x, plan, settings)
    }
}
