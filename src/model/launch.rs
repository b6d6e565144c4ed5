//! Decode steps of many rows: which of them share one, and over which caches.

use super::attention::Step;
use super::backend::{MlxBackend, caches_of};
use super::kernels;
use super::kv::{Attend, InPlaceStep, KvCache, MOST_APART, OwnStep, PaddedStep, Seat, Slot, UnpaddedStep};
use super::rope::Positions;
use super::row::{NextToken, Row, RowKv};
use super::sampler::sample;
use super::step::{Launched, LaunchedRow, MlxStep};
use crate::engine::{Backend, BackendError};
use crate::protocol::{DeviceKind, Execution};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::transforms::async_eval;
use std::cmp::Reverse;
use std::rc::Rc;

impl MlxBackend {
    /// One decode step of all `rows`.
    pub(super) fn launch_step(
        &mut self,
        rows: &mut [&mut Row],
        execution: Execution,
    ) -> std::result::Result<MlxStep, BackendError> {
        if self.decoder.attends_in_place() {
            return self.launch_cohorts_in_place(rows, execution);
        }
        let launched = match execution {
            Execution::Serialized => {
                let width = self.comfortable_width(1);
                let alone = rows.iter_mut().enumerate().map(|(place, row)| self.launch_alone(row, place, width));
                alone.collect::<Result<Vec<_>>>()?
            }
            Execution::Batched => match rows {
                [only] => vec![self.launch_alone(only, 0, self.comfortable_width(1))?],
                many if are_about_equally_long(many) => {
                    vec![self.launch_together(many, execution, self.comfortable_width(many.len()))?]
                }
                many => {
                    let width = self.comfortable_width(many.len());
                    let padded = |_| width;
                    let cohorts = Cohorts { rows: many.len(), padded: &padded, most_attended_at_once: many.len() };
                    self.launch_apart(many, execution, &cohorts)?
                }
            },
            Execution::Exact => {
                let plan = self.exact_plan.clone().ok_or_else(|| self.why_not_exact())?;
                match rows {
                    [only] => vec![self.launch_alone(only, 0, plan.padded(1))?],
                    many if plan.rows_stand_alone && many.len() <= plan.width() && are_about_equally_long(many) => {
                        vec![self.launch_together(many, execution, plan.padded(many.len()))?]
                    }
                    many => {
                        let padded = |rows| plan.padded(rows);
                        let most_attended_at_once = plan.most_attended_at_once;
                        let cohorts = Cohorts { rows: plan.width(), padded: &padded, most_attended_at_once };
                        self.launch_apart(many, execution, &cohorts)?
                    }
                }
            }
        };
        Ok(MlxStep(launched))
    }

    /// One decode step of rows in their own caches, as many at once as the execution allows.
    fn launch_cohorts_in_place(
        &mut self,
        rows: &mut [&mut Row],
        execution: Execution,
    ) -> std::result::Result<MlxStep, BackendError> {
        let plan = match execution {
            Execution::Exact => Some(self.exact_plan.clone().ok_or_else(|| self.why_not_exact())?),
            Execution::Serialized | Execution::Batched => None,
        };
        let most = match (execution, &plan) {
            (Execution::Serialized, _) => 1,
            (_, Some(plan)) => plan.width(),
            (_, None) => rows.len().max(1),
        };
        let places: Vec<usize> = (0..rows.len()).collect();
        let cohorts = rows.chunks_mut(most).zip(places.chunks(most)).map(|(cohort, places)| {
            let width = plan.as_ref().map_or(cohort.len(), |plan| plan.padded(cohort.len()));
            match cohort {
                [only] => self.launch_alone(only, places[0], width),
                many => self.launch_in_place(many, places, width),
            }
        });
        Ok(MlxStep(cohorts.collect::<Result<Vec<_>>>()?))
    }

    /// One decode step of rows in their own caches, `width` rows in all.
    fn launch_in_place(&mut self, rows: &mut [&mut Row], places: &[usize], width: usize) -> Result<Launched> {
        let tokens = next_tokens(rows, width)?;
        let positions = self.positions(rows, width);
        let mut caches: Vec<&mut KvCache> = rows.iter_mut().filter_map(|row| row.kv.own()).collect();
        let mut attend = InPlaceStep::decode(&mut caches, width);
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
        let launched = self.finish_launch(&hidden, rows, places)?;
        rows.iter_mut().filter_map(|row| row.kv.own()).for_each(|cache| cache.advance(1));
        Ok(launched)
    }

    /// One decode step of one row over its own cache, `width` rows in all. What a prompt's last token gives is computed
    /// once, however many sessions sample from it.
    fn launch_alone(&mut self, row: &mut Row, place: usize, width: usize) -> Result<Launched> {
        let is_first = matches!(row.next, NextToken::Known(_));
        if is_first && let Some((mut cache, logits)) = self.prefixes.first_step(&row.prompt, row.execution) {
            cache.expect(row.expected_tokens);
            row.kv = RowKv::Own(cache);
            return self.sample_launch(logits, &mut [row], &[place]);
        }
        // Taken out of the row, not copied: a copy would not be written to in place.
        let mut cache = match &mut row.kv {
            RowKv::Own(cache) => std::mem::take(cache),
            RowKv::Together(_) | RowKv::Apart(_) => self.own_cache(row)?,
        };
        let tokens = next_tokens(&[&mut *row], width)?;
        let positions = self.positions(&[&mut *row], width);
        let hidden =
            |attend: &mut dyn Attend| self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend });
        let logits = match self.decoder.attends_in_place() {
            true => hidden(&mut InPlaceStep::decode(&mut [&mut cache], width)),
            false => hidden(&mut OwnStep(&mut cache)),
        };
        let logits = logits.and_then(|hidden| self.logits(&hidden, 1));
        if logits.is_ok() {
            cache.advance(1);
        }
        if is_first && let Ok(logits) = &logits {
            self.prefixes.keep_first_step(&row.prompt, row.execution, &cache, logits);
        }
        row.kv = RowKv::Own(cache);
        self.sample_launch(logits?, &mut [row], &[place])
    }

    /// One decode step of rows that are attended at once, `width` rows in all.
    fn launch_together(&mut self, rows: &mut [&mut Row], execution: Execution, width: usize) -> Result<Launched> {
        let joins = |row: &&mut Row| !matches!(row.kv, RowKv::Together(_));
        let joining: Vec<&mut Row> = longest_first(rows).into_iter().filter(joins).collect();
        let own = joining.iter().map(|row| self.own_cache(row)).collect::<Result<Vec<_>>>()?;
        let slots = self.caches[caches_of(execution)].together.join_all(&own)?;
        for (row, slot) in joining.into_iter().zip(slots) {
            row.kv = RowKv::Together(slot);
        }
        let slots = rows.iter().filter_map(|row| match &row.kv {
            RowKv::Together(slot) => Some(slot.clone()),
            RowKv::Own(_) | RowKv::Apart(_) => None,
        });
        let slots: Vec<Slot> = slots.collect();
        let tokens = next_tokens(rows, width)?;
        let positions = self.positions(rows, width);
        let mut attend = PaddedStep::new(&mut self.caches[caches_of(execution)].together, &slots, width)?;
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
        attend.finish();
        let places: Vec<usize> = (0..rows.len()).collect();
        self.finish_launch(&hidden, rows, &places)
    }

    /// One decode step in cohorts, each row attending over exactly its own tokens.
    fn launch_apart(
        &mut self,
        rows: &mut [&mut Row],
        execution: Execution,
        cohorts: &Cohorts<'_>,
    ) -> Result<Vec<Launched>> {
        for row in longest_first(rows) {
            if !matches!(row.kv, RowKv::Apart(_)) {
                let own = self.own_cache(row)?;
                row.kv = RowKv::Apart(self.caches[caches_of(execution)].apart.join(&own)?);
            }
        }
        self.caches[caches_of(execution)].apart.tidy(&seats(rows))?;
        let mut rows: Vec<(usize, &mut Row)> = rows.iter_mut().map(|row| &mut **row).enumerate().collect();
        rows.sort_by_key(|(_, row)| match &row.kv {
            RowKv::Apart(seat) => Some(seat.order()),
            RowKv::Own(_) | RowKv::Together(_) => None,
        });
        let (places, mut rows): (Vec<usize>, Vec<&mut Row>) = rows.into_iter().unzip();
        let mut launched = Vec::new();
        for cohort in rows.chunks_mut(cohorts.rows) {
            let width = (cohorts.padded)(cohort.len());
            let tokens = next_tokens(cohort, width)?;
            let positions = self.positions(cohort, width);
            let caches = &mut self.caches[caches_of(execution)].apart;
            let mut attend = UnpaddedStep::new(caches, &seats(cohort), cohorts.most_attended_at_once)?;
            launched.push(self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?);
        }
        self.caches[caches_of(execution)].apart.advance();
        let finished = rows.chunks_mut(cohorts.rows).zip(places.chunks(cohorts.rows)).zip(launched);
        finished.map(|((cohort, places), hidden)| self.finish_launch(&hidden, cohort, places)).collect()
    }

    /// The row's tokens as a cache of its own.
    pub(super) fn own_cache(&self, row: &Row) -> Result<KvCache> {
        match &row.kv {
            RowKv::Own(cache) => Ok(cache.clone()),
            RowKv::Together(slot) => self.caches[caches_of(row.execution)].together.extract(slot),
            RowKv::Apart(seat) => self.caches[caches_of(row.execution)].apart.extract(seat),
        }
    }

    /// hidden [width, hidden] → each real row's sampled token.
    fn finish_launch(&self, hidden: &Array, rows: &mut [&mut Row], places: &[usize]) -> Result<Launched> {
        self.sample_launch(self.logits(hidden, rows.len())?, rows, places)
    }

    /// hidden [width, hidden] → logits [rows, vocab] of the rows that are no padding.
    fn logits(&self, hidden: &Array, rows: usize) -> Result<Array> {
        let logits = self.decoder.logits(hidden)?;
        if logits.dim(0) > rows as i32 { logits.try_index(0..rows as i32) } else { Ok(logits) }
    }

    /// logits [rows, vocab] → each row's sampled token.
    fn sample_launch(&self, logits: Array, rows: &mut [&mut Row], places: &[usize]) -> Result<Launched> {
        let draws: Vec<_> = rows.iter().map(|row| row.draw()).collect();
        let ids = Rc::new(sample(&logits, &draws)?);
        for (index, row) in (0..).zip(rows.iter_mut()) {
            row.take_sampled(&ids, index)?;
        }
        let rows: Vec<LaunchedRow> = rows
            .iter()
            .zip(places)
            .map(|(row, place)| LaunchedRow { place: *place, hashed: row.hash_logits })
            .collect();
        let logits = rows.iter().any(|row| row.hashed).then_some(logits);
        if self.looks_ahead() {
            async_eval([&*ids].into_iter().chain(&logits))?;
        }
        Ok(Launched { ids, logits, rows })
    }

    /// Where the rows' next tokens stand; padding rows stand at 0.
    fn positions(&self, rows: &[&mut Row], width: usize) -> Positions {
        let mut offsets = vec![0_i32; width];
        for (offset, row) in offsets.iter_mut().zip(rows) {
            *offset = row.position;
        }
        Positions::each(offsets, self.facts.device)
    }

    /// How many rows to compute where `rows` are wanted. A CPU's BLAS shares sixteen rows among its threads without one
    /// waiting for the other, and so takes less time for them than for three.
    fn comfortable_width(&self, rows: usize) -> usize {
        match self.facts.device {
            DeviceKind::Cpu if rows > 2 && !kernels::has_dense_products() => rows.next_multiple_of(16),
            DeviceKind::Cpu | DeviceKind::Gpu => rows,
        }
    }
}

/// How rows that are attended apart share the other operations of a step.
struct Cohorts<'a> {
    /// The most rows of a cohort.
    rows: usize,
    /// How many rows to compute for so many.
    padded: &'a dyn Fn(usize) -> usize,
    /// The most equally long sessions to attend at once.
    most_attended_at_once: usize,
}

/// The tokens that the rows feed: u32 [width]; padding rows feed token 0.
fn next_tokens(rows: &[&mut Row], width: usize) -> Result<Array> {
    let padding = width - rows.len();
    // The usual case: the same rows as in the step before, in the same order.
    if padding == 0
        && let [first, ..] = rows
        && let NextToken::Sampled { ids, .. } = &first.next
        && ids.dim(0) as usize == rows.len()
        && (0..).zip(rows).all(|(row, other)| {
            matches!(&other.next, NextToken::Sampled { ids: own, index } if Rc::ptr_eq(own, ids) && *index == row)
        })
    {
        return Ok(Array::clone(ids));
    }
    let mut tokens = rows.iter().map(|row| row.next.array()).collect::<Result<Vec<Array>>>()?;
    if padding > 0 {
        tokens.push(Array::from_slice(&vec![0_u32; padding], &[padding as i32]));
    }
    concatenate(&tokens, 0)
}

/// The rows in the order in which they join a cache that they share.
fn longest_first<'a>(rows: &'a mut [&mut Row]) -> Vec<&'a mut Row> {
    let mut rows: Vec<&mut Row> = rows.iter_mut().map(|row| &mut **row).collect();
    rows.sort_by_key(|row| Reverse(row.position));
    rows
}

/// Whether a cache with room for the longest row's tokens in every place wastes little.
fn are_about_equally_long(rows: &[&mut Row]) -> bool {
    let positions = rows.iter().map(|row| row.position);
    positions.clone().max().unwrap_or_default() - positions.min().unwrap_or_default() <= MOST_APART
}

/// The seats of rows that have one.
fn seats(rows: &[&mut Row]) -> Vec<Seat> {
    let seats = rows.iter().filter_map(|row| match &row.kv {
        RowKv::Apart(seat) => Some(seat.clone()),
        RowKv::Own(_) | RowKv::Together(_) => None,
    });
    seats.collect()
}
