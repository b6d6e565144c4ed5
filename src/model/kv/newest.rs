//! A decode step's newest tokens, written and attended by one kernel on an NVIDIA GPU.
//!
//! The kernel writes into the cache's own arrays. MLX takes arrays for values that never change, so two things must hold:
//! nobody else holds the array's memory and counts on a place from the sessions' end on, which is why a copy of a cache
//! ([`KvCache`](super::KvCache)) takes memory of its own before its first step; and what reads the new places comes later
//! in the stream of operations, as everything does that follows from the step's outputs.

use super::super::cuda::{Clock, HeadsPlan, NewestPlan, attend_newest, attends_newest};
use super::{AttentionSettings, LayerKv};
use mlx_rs::Array;
use mlx_rs::error::Result;

/// What the kernel is told besides the caches: the same for all layers, and most of it for all steps.
#[derive(Debug, Default)]
pub(super) struct Newest {
    spans: Option<(Vec<i32>, Array)>,
    clock: Option<([i32; 2], Clock)>,
}

impl Newest {
    /// Each row's room and its session's first place, followed by padding up to `width` rows.
    fn spans(&mut self, rows: impl Iterator<Item = (i32, i32)>, width: i32) -> Array {
        let mut numbers: Vec<i32> = rows.flat_map(|(room, start)| [room, start]).collect();
        while numbers.len() < 2 * width as usize {
            numbers.extend([-1, 0]);
        }
        match &self.spans {
            Some((known, spans)) if *known == numbers => spans.clone(),
            _ => {
                let spans = Array::from_slice(&numbers, &[width, 2]);
                self.spans = Some((numbers, spans.clone()));
                spans
            }
        }
    }

    fn clock(&mut self, end: i32, first: i32) -> Result<Clock> {
        match &self.clock {
            Some((known, clock)) if *known == [end, first] => Ok(clock.clone()),
            _ => {
                let clock = Clock::new(end, first)?;
                self.clock = Some(([end, first], clock.clone()));
                Ok(clock)
            }
        }
    }

    /// Writes the tokens x [T, (queries + 2 · keys) · head_dim] at place `end` of the rooms in `rows` and attends each over
    /// its room from the place that stands there on. The cache has room for them.
    pub fn attend(
        &mut self,
        x: &Array,
        heads: &HeadsPlan<'_>,
        held: &LayerKv,
        rows: impl Iterator<Item = (i32, i32)>,
        end: i32,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let (spans, clock) = (self.spans(rows, x.dim(0)), self.clock(end + 1, held.first)?);
        let (keys, values, window, scale) = (&held.keys, &held.values, settings.window, settings.scale);
        attend_newest(x, heads, &NewestPlan { keys, values, spans: &spans, clock: &clock, window, scale })
    }
}

/// Whether the kernel does that.
pub(super) fn is_taken(x: &Array, heads: &HeadsPlan<'_>, held: &LayerKv, settings: AttentionSettings) -> bool {
    settings.softcap.is_none() && held.keys.dtype() == x.dtype() && attends_newest(heads, x.dtype())
}
