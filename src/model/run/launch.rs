//! Decode steps of many rows: which of them share one, and over which caches.

use super::row::{NextToken, Row, RowKv};
use super::runner::Runner;
use super::sampler::sample;
use super::step::{Launched, LaunchedRow, MlxStep};
use crate::engine::BackendError;
use crate::model::kernels::{Company, KvSnapshot, Positions};
use crate::model::kv::{KvCache, Pass, Seat};
use crate::model::layers::Forward;
use crate::protocol::{DeviceKind, Execution};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::transforms::async_eval;
use std::cmp::Reverse;
use std::rc::Rc;

/// How the rows of an execution share steps.
struct Cohorts {
    /// The most rows of one.
    most: usize,
    /// How many rows to compute for a cohort of so many.
    width_of: Box<dyn Fn(usize) -> usize>,
    /// Which of them may be attended in one operation.
    company: Company,
}

impl Runner {
    /// Whether a step is worth launching before the last one was read. On a CPU it would compete with that one.
    pub fn looks_ahead(&self) -> bool {
        self.device == DeviceKind::Gpu
    }

    /// One decode step of all `rows`, in as many cohorts as the execution asks for.
    pub fn launch(
        &mut self,
        rows: &mut [&mut Row],
        execution: Execution,
    ) -> std::result::Result<MlxStep, BackendError> {
        let cohorts = self.cohorts(execution, rows.len())?;
        let launched = match rows {
            [only] => vec![self.launch_alone(only, 0, (cohorts.width_of)(1))?],
            many if cohorts.most == 1 || self.kernels.promises().attends_own_caches => {
                self.launch_own(many, &cohorts)?
            }
            many => self.launch_shared(many, execution, &cohorts)?,
        };
        Ok(MlxStep(launched))
    }

    fn cohorts(&self, execution: Execution, rows: usize) -> std::result::Result<Cohorts, BackendError> {
        let kernels = Rc::clone(&self.kernels);
        let comfortable = move |rows| kernels.comfortable_width(rows);
        Ok(match execution {
            Execution::Serialized => Cohorts { most: 1, width_of: Box::new(comfortable), company: Company::Any },
            Execution::Batched => Cohorts { most: rows.max(1), width_of: Box::new(comfortable), company: Company::Any },
            Execution::Exact => {
                let plan = self.plan()?.clone();
                let (most, company) = (plan.width(), plan.company);
                Cohorts { most, width_of: Box::new(move |rows| plan.padded(rows)), company }
            }
        })
    }

    /// One decode step of one row over its own cache, `width` rows in all. What a prompt's last token gives is computed
    /// once, however many sessions sample from it.
    fn launch_alone(&mut self, row: &mut Row, place: usize, width: usize) -> Result<Launched> {
        let is_first = matches!(row.next, NextToken::Known(_));
        if is_first && let Some((tokens, logits)) = self.prefixes.first_step(&row.prompt, row.execution) {
            let mut cache = KvCache::of(&tokens)?;
            cache.expect(row.expected_tokens);
            row.kv = RowKv::Own(cache);
            return self.sample_launch(logits, &mut [row], &[place]);
        }
        let hidden = self.hidden_of_own(&mut [&mut *row], width)?;
        let logits = self.logits(&hidden, 1)?;
        let cache = self.make_own(row)?;
        cache.advance(1);
        if is_first {
            let tokens = cache.snapshot();
            self.prefixes.keep_first_step(&row.prompt, row.execution, &tokens, &logits);
        }
        self.sample_launch(logits, &mut [row], &[place])
    }

    /// One decode step of rows in their own caches.
    fn launch_own(&mut self, rows: &mut [&mut Row], cohorts: &Cohorts) -> Result<Vec<Launched>> {
        let places: Vec<usize> = (0..rows.len()).collect();
        let mut launched = Vec::new();
        for (cohort, places) in rows.chunks_mut(cohorts.most).zip(places.chunks(cohorts.most)) {
            let width = (cohorts.width_of)(cohort.len());
            launched.push(match cohort {
                [only] => self.launch_alone(only, places[0], width)?,
                many => {
                    let hidden = self.hidden_of_own(many, width)?;
                    let step = self.finish_launch(&hidden, many, places)?;
                    many.iter_mut().filter_map(|row| row.kv.own()).for_each(|cache| cache.advance(1));
                    step
                }
            });
        }
        Ok(launched)
    }

    /// What a step of rows in their own caches gives: the hidden states `[width, hidden]` after the last layer.
    fn hidden_of_own(&mut self, rows: &mut [&mut Row], width: usize) -> Result<Array> {
        let (tokens, positions) = (next_tokens(rows, width)?, positions(rows, width));
        for row in rows.iter_mut() {
            self.make_own(row)?;
        }
        let caches = rows.iter_mut().filter_map(|row| row.kv.own()).collect();
        let mut pass = Pass::step(caches, width);
        let forward = &mut Forward { kernels: &*self.kernels, positions: &positions, pass: &mut pass };
        self.decoder.hidden(&tokens, forward)
    }

    /// One decode step of rows in caches that they share.
    fn launch_shared(
        &mut self,
        rows: &mut [&mut Row],
        execution: Execution,
        cohorts: &Cohorts,
    ) -> Result<Vec<Launched>> {
        self.join(rows, execution)?;
        let mut rows: Vec<(usize, &mut Row)> = rows.iter_mut().map(|row| &mut **row).enumerate().collect();
        rows.sort_by_key(|(_, row)| row.kv.seat().map(Seat::order));
        let (places, mut rows): (Vec<usize>, Vec<&mut Row>) = rows.into_iter().unzip();
        let mut hidden = Vec::new();
        for cohort in rows.chunks_mut(cohorts.most) {
            let width = (cohorts.width_of)(cohort.len());
            let (tokens, positions) = (next_tokens(cohort, width)?, positions(cohort, width));
            let kernels = Rc::clone(&self.kernels);
            let (groups, decoder) = self.groups_and_decoder(execution);
            let mut pass = Pass::shared_step(groups, &seats(cohort), width, cohorts.company);
            let forward = &mut Forward { kernels: &*kernels, positions: &positions, pass: &mut pass };
            hidden.push(decoder.hidden(&tokens, forward)?);
        }
        self.groups(execution).advance();
        let finished = rows.chunks_mut(cohorts.most).zip(places.chunks(cohorts.most)).zip(hidden);
        finished.map(|((cohort, places), hidden)| self.finish_launch(&hidden, cohort, places)).collect()
    }

    /// Moves the rows that have none into shared caches, and packs these.
    fn join(&mut self, rows: &mut [&mut Row], execution: Execution) -> Result<()> {
        let mut joining: Vec<&mut Row> = rows.iter_mut().map(|row| &mut **row).collect();
        joining.retain(|row| row.kv.seat().is_none());
        joining.sort_by_key(|row| Reverse(row.position));
        let tokens = joining.iter_mut().map(|row| self.snapshot(row)).collect::<Result<Vec<KvSnapshot>>>()?;
        let kernels = Rc::clone(&self.kernels);
        let joined = self.groups(execution).join(&*kernels, &tokens)?;
        for (row, seat) in joining.into_iter().zip(joined) {
            row.kv = RowKv::Shared(seat);
        }
        self.groups(execution).tidy(&seats(rows))
    }

    /// hidden `[width, hidden]` → each real row's sampled token.
    fn finish_launch(&self, hidden: &Array, rows: &mut [&mut Row], places: &[usize]) -> Result<Launched> {
        self.sample_launch(self.logits(hidden, rows.len())?, rows, places)
    }

    /// hidden `[width, hidden]` → logits `[rows, vocab]` of the rows that are no padding.
    fn logits(&self, hidden: &Array, rows: usize) -> Result<Array> {
        let logits = self.decoder.logits(&*self.kernels, hidden)?;
        if logits.dim(0) > rows as i32 { logits.try_index(0..rows as i32) } else { Ok(logits) }
    }

    /// logits `[rows, vocab]` → each row's sampled token.
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
}

/// Where the rows' next tokens stand; padding rows stand at 0.
fn positions(rows: &[&mut Row], width: usize) -> Positions {
    let mut places = vec![0_i32; width];
    for (place, row) in places.iter_mut().zip(rows) {
        *place = row.position;
    }
    Positions::each(places)
}

/// The tokens that the rows feed: u32 `[width]`; padding rows feed token 0.
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

/// The seats of rows that have one.
fn seats(rows: &[&mut Row]) -> Vec<Seat> {
    rows.iter().filter_map(|row| row.kv.seat().cloned()).collect()
}
