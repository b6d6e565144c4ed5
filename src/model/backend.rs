//! The engine's Backend on MLX: prefill of one session, decode steps of many.

use super::attention::Step;
use super::cuda;
use super::decoder::Decoder;
use super::device::ComputeDevice;
use super::kernels;
use super::kv::{ApartCaches, MOST_APART, OwnStep, PaddedStep, Seat, SharedKvCache, Slot, UnpaddedStep};
use super::load::load;
use super::prefill::{Reading, read_alone, read_in_blocks, read_packed};
use super::prefix::{PrefixStore, common_beginning};
use super::probe::{BLOCK, ExactPlan, ExactReading, check_width};
use super::quantization::Quantization;
use super::rope::Positions;
use super::row::{NextToken, Row, RowKv};
use super::sampler::sample;
use super::{ModelError, kv::KvCache};
use crate::engine::{Backend, BackendError, StepOutput};
use crate::hub::ModelFiles;
use crate::protocol::{DeviceKind, Execution, MemoryFigures, ModelFacts, SessionRequest};
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::transforms::{async_eval, eval};
use mlx_rs::{Array, Dtype, memory};
use std::cmp::Reverse;
use std::rc::Rc;

/// Tokens of exact prefill's chunks where a pass holds one chunk.
const CHUNK_ALONE: usize = 128;
/// Where a pass holds many: the shorter, the more of their beginnings two prompts can share.
const CHUNK_OF_BLOCKS: usize = 2 * BLOCK;

/// On an NVIDIA GPU MLX keeps at least this much memory for reuse, in bytes: with less than a step's logits take, 32 sessions
/// lost a quarter of their throughput (docs/benchmarks.md).
const LEAST_CUDA_CACHE: u64 = 2_000_000_000;

/// Tokens of chunks that bring in all kernels of prefill and, with few, of steps.
const WARM_UP: [usize; 3] = [LONGEST_WARM_UP, 1, 9];
const LONGEST_WARM_UP: usize = 80;

/// One model on one MLX device. It must be made, used and dropped on one thread.
#[derive(Debug)]
pub struct MlxBackend {
    decoder: Decoder,
    facts: ModelFacts,
    /// Of sessions that decode together; see [`caches_of`].
    caches: [SharedCaches; 2],
    /// None where exact execution is not possible.
    exact_plan: Option<ExactPlan>,
    prefixes: PrefixStore,
}

/// The caches of an execution's sessions.
#[derive(Debug, Default)]
struct SharedCaches {
    /// Of rows that are attended at once, whatever their lengths.
    together: SharedKvCache,
    /// Of rows that are attended by themselves, or with equally long ones.
    apart: ApartCaches,
}

/// Which of a backend's caches the sessions of `execution` are in.
fn caches_of(execution: Execution) -> usize {
    usize::from(execution == Execution::Exact)
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

/// Launched decode steps of one or more groups of rows.
#[derive(Debug)]
pub struct MlxStep(Vec<Launched>);

/// One graph's outputs.
#[derive(Debug)]
struct Launched {
    /// u32 [rows]; padding rows included.
    ids: Rc<Array>,
    /// [rows, vocab], where a row wants them hashed.
    logits: Option<Array>,
    rows: Vec<LaunchedRow>,
}

/// A row that is no padding.
#[derive(Debug)]
struct LaunchedRow {
    /// Its place in the engine's order.
    place: usize,
    /// Whether it wants its logits hashed.
    hashed: bool,
}

impl MlxBackend {
    /// Loads a model onto MLX's default device and evaluates all of its weights.
    pub fn load(files: &ModelFiles) -> std::result::Result<Self, ModelError> {
        Self::load_unless(files, None, &|| false)
    }

    /// [`MlxBackend::load`], a dense checkpoint packed where `quantize` is given, and given up between two weights once
    /// `is_cancelled` says so.
    pub fn load_unless(
        files: &ModelFiles,
        quantize: Option<Quantization>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> std::result::Result<Self, ModelError> {
        let device = ComputeDevice::detect();
        let loaded = load(files, &device, quantize, is_cancelled)?;
        let backend = Self {
            caches: Default::default(),
            exact_plan: loaded.exact.ok(),
            prefixes: PrefixStore::default(),
            decoder: loaded.decoder,
            facts: loaded.facts,
        };
        if cuda::is_available() {
            backend.warm_up()?;
        }
        Ok(backend)
    }

    /// Runs exact execution in cohorts of `width` rows from now on; refuses one at which nothing would be exact.
    pub fn set_exact_width(&mut self, width: u32) -> std::result::Result<(), BackendError> {
        let plan = check_width(&self.decoder, width as usize, self.facts.device)?;
        self.facts.exact_width = Ok(width);
        self.exact_plan = Some(plan);
        Ok(())
    }

    /// Has MLX compile and load what a first prompt and the first steps would wait for.
    fn warm_up(&self) -> Result<()> {
        let mut cache = KvCache::new(&self.decoder.kv_shape)?;
        for tokens in WARM_UP {
            let reading = Reading { cache: &mut cache, tokens: &[0; LONGEST_WARM_UP][..tokens] };
            eval([&read_alone(&self.decoder, self.facts.device, reading)?])?;
        }
        let positions = Positions::each(vec![cache.length()], self.facts.device);
        let mut attend = OwnStep(&mut cache);
        let token = Array::from_slice(&[0_u32], &[1]);
        eval([&self.decoder.hidden(&token, &mut Step { positions: &positions, attend: &mut attend })?])
    }

    /// The model in figures.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// The logits [L, vocab] (f32) of a prompt read in chunks of at most `chunk` tokens, for tests and probes.
    pub fn prompt_logits(&self, tokens: &[u32], chunk: usize) -> std::result::Result<Vec<Vec<f32>>, BackendError> {
        let mut cache = KvCache::new(&self.decoder.kv_shape)?;
        let mut rows = Vec::with_capacity(tokens.len());
        for part in tokens.chunks(chunk.max(1)) {
            let hidden = read_alone(&self.decoder, self.facts.device, Reading { cache: &mut cache, tokens: part })?;
            let logits = self.decoder.logits(&hidden)?.as_dtype(Dtype::Float32)?;
            let flat = logits.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
            rows.extend(flat.chunks(logits.dim(-1) as usize).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    /// One decode step of one row over its own cache, `width` rows in all.
    fn launch_alone(&mut self, row: &mut Row, place: usize, width: usize) -> Result<Launched> {
        // Taken out of the row, not copied: a copy would not be written to in place.
        let mut cache = match &mut row.kv {
            RowKv::Own(cache) => std::mem::take(cache),
            RowKv::Together(_) | RowKv::Apart(_) => self.own_cache(row)?,
        };
        let tokens = next_tokens(&[&mut *row], width)?;
        let positions = self.positions(&[&mut *row], width);
        let mut attend = OwnStep(&mut cache);
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend });
        if hidden.is_ok() {
            cache.advance(1);
        }
        row.kv = RowKv::Own(cache);
        let hidden = hidden?;
        self.finish_launch(&hidden, &mut [row], &[place])
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
    fn own_cache(&self, row: &Row) -> Result<KvCache> {
        match &row.kv {
            RowKv::Own(cache) => Ok(cache.clone()),
            RowKv::Together(slot) => self.caches[caches_of(row.execution)].together.extract(slot),
            RowKv::Apart(seat) => self.caches[caches_of(row.execution)].apart.extract(seat),
        }
    }

    /// hidden [width, hidden] → each real row's sampled token.
    fn finish_launch(&self, hidden: &Array, rows: &mut [&mut Row], places: &[usize]) -> Result<Launched> {
        let logits = self.decoder.logits(hidden)?;
        let real = rows.len() as i32;
        let logits = if logits.dim(0) > real { logits.try_index(0..real)? } else { logits };
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

    fn exact_reading(&self) -> ExactReading {
        self.exact_plan.as_ref().map_or(ExactReading::Alone, |plan| plan.reading)
    }

    /// Prompts are cut at multiples of this, wherever the engine would like to, and their beginnings taken over from
    /// others.
    fn granularity(&self, execution: Execution) -> usize {
        match (execution, self.exact_reading()) {
            (Execution::Serialized | Execution::Batched, _) | (Execution::Exact, ExactReading::Freely) => 1,
            (Execution::Exact, ExactReading::InBlocks) => CHUNK_OF_BLOCKS,
            (Execution::Exact, ExactReading::Alone) => CHUNK_ALONE,
        }
    }

    fn why_not_exact(&self) -> BackendError {
        BackendError(self.facts.exact_width.clone().err().unwrap_or_default())
    }
}

impl Backend for MlxBackend {
    type Row = Row;
    type Step = MlxStep;

    fn open(&mut self, request: &SessionRequest, execution: Execution) -> std::result::Result<Row, BackendError> {
        if execution == Execution::Exact && self.exact_plan.is_none() {
            return Err(self.why_not_exact());
        }
        let vocabulary = self.decoder.embed_tokens.outputs();
        if let Some(id) = request.prompt.iter().find(|id| i64::from(**id) >= i64::from(vocabulary)) {
            return Err(BackendError(format!(
                "the tokenizer gave the id {id}, but the model knows only {vocabulary} tokens; tokenizer and weights don't belong together"
            )));
        }
        let cache = KvCache::new(&self.decoder.kv_shape)?;
        let mut row = Row::new(request, execution, cache).ok_or_else(|| BackendError("the prompt is empty".into()))?;
        let unfed = &row.prompt[..row.prefill_total()];
        if let Some(shared) = self.prefixes.longest(unfed, execution, self.granularity(execution)) {
            row.position = shared.length();
            row.kv = RowKv::Own(shared);
        }
        Ok(row)
    }

    fn prefilled(&self, row: &Row) -> usize {
        (row.position as usize).min(row.prefill_total())
    }

    fn next_chunk(&self, row: &Row, limit: usize) -> usize {
        let start = row.position as usize;
        let unread = row.prefill_total().saturating_sub(start);
        let chunk = self.granularity(row.execution);
        let next_cut = chunk - start % chunk;
        if row.execution == Execution::Exact && self.exact_reading() == ExactReading::Alone {
            return unread.min(next_cut);
        }
        // As many whole chunks as the limit allows.
        if limit < unread { unread.min(next_cut + limit.saturating_sub(next_cut) / chunk * chunk) } else { unread }
    }

    fn shareable(&self, one: &[u32], other: &[u32], execution: Execution) -> usize {
        common_beginning(one, other, self.granularity(execution))
    }

    fn known(&self, tokens: &[u32], execution: Execution) -> usize {
        let known = self.prefixes.longest(tokens, execution, self.granularity(execution));
        known.map_or(0, |cache| cache.length() as usize)
    }

    fn prefill(&mut self, row: &mut Row, limit: usize) -> std::result::Result<usize, BackendError> {
        match self.next_chunk(row, limit) {
            0 => Ok(0),
            _ => Ok(self.prefill_together(&mut [(row, limit)])?.into_iter().sum()),
        }
    }

    fn reads_together(&self, execution: Execution) -> bool {
        match execution {
            Execution::Serialized => false,
            Execution::Batched => true,
            Execution::Exact => self.exact_reading() != ExactReading::Alone,
        }
    }

    fn prefill_together(&mut self, rows: &mut [(&mut Row, usize)]) -> std::result::Result<Vec<usize>, BackendError> {
        let is_exact = rows.iter().any(|(row, _)| row.execution == Execution::Exact);
        let counts: Vec<usize> = rows.iter().map(|(row, limit)| self.next_chunk(row, *limit)).collect();
        let caches = rows.iter().map(|(row, _)| self.own_cache(row));
        let mut caches = caches.collect::<Result<Vec<KvCache>>>()?;
        let readings = rows.iter().zip(&mut caches).zip(&counts).map(|(((row, _), cache), count)| {
            let start = row.position as usize;
            Reading { cache, tokens: &row.prompt[start..start + count] }
        });
        let mut readings: Vec<Reading<'_>> = readings.collect();
        if is_exact && self.exact_reading() == ExactReading::InBlocks {
            read_in_blocks(&self.decoder, self.facts.device, &mut readings, CHUNK_OF_BLOCKS)?;
        } else {
            read_packed(&self.decoder, self.facts.device, &mut readings)?;
        }
        for (((row, _), cache), count) in rows.iter_mut().zip(caches).zip(&counts) {
            row.position += *count as i32;
            if row.position as usize == row.prefill_total() {
                self.prefixes.keep(&row.prompt[..row.prefill_total()], row.execution, &cache);
            }
            row.kv = RowKv::Own(cache);
        }
        Ok(counts)
    }

    fn launch(&mut self, rows: &mut [&mut Row], execution: Execution) -> std::result::Result<MlxStep, BackendError> {
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

    fn read(&mut self, step: MlxStep) -> std::result::Result<Vec<StepOutput>, BackendError> {
        eval(step.0.iter().flat_map(|launched| [&*launched.ids].into_iter().chain(&launched.logits)))?;
        let mut outputs = Vec::new();
        for launched in step.0 {
            let ids = launched.ids.try_as_slice::<u32>().map_err(|error| BackendError(error.to_string()))?;
            let hashes = launched.hashes()?;
            let rows = launched.rows.iter().zip(ids).zip(hashes);
            outputs
                .extend(rows.map(|((row, token), logits_hash)| (row.place, StepOutput { token: *token, logits_hash })));
        }
        outputs.sort_by_key(|(place, _)| *place);
        Ok(outputs.into_iter().map(|(_, output)| output).collect())
    }

    fn looks_ahead(&self) -> bool {
        // On a CPU the next step would compete with this one, and a cache that is still being read can't be written
        // in place.
        self.facts.device == DeviceKind::Gpu
    }

    fn memory(&self) -> MemoryFigures {
        let bytes = |figure: Result<usize>| figure.map_or(0, |bytes| bytes as u64);
        MemoryFigures {
            active: bytes(memory::active_memory()),
            cache: bytes(memory::cache_memory()),
            peak: bytes(memory::peak_memory()),
        }
    }

    fn reset_peak_memory(&mut self) {
        self.prefixes.clear();
        for caches in &mut self.caches {
            caches.together.clear_unused();
            caches.apart.clear_unused();
        }
        if let Err(error) = memory::reset_peak_memory() {
            tracing::warn!("MLX did not reset its peak memory: {}", error.what());
        }
    }

    fn set_cache_limit(&mut self, bytes: u64) -> std::result::Result<(), BackendError> {
        let bytes = if cuda::is_available() { bytes.max(LEAST_CUDA_CACHE) } else { bytes };
        memory::set_cache_limit(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(())
    }

    fn context_length(&self) -> u32 {
        self.facts.context_length
    }
}

impl Launched {
    /// One hash for each real row that asked for it: FNV-1a over the bits of its logits.
    fn hashes(&self) -> std::result::Result<Vec<Option<u64>>, BackendError> {
        let Some(logits) = &self.logits else { return Ok(vec![None; self.rows.len()]) };
        let values =
            logits.as_dtype(Dtype::Float32)?.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
        let rows = values.chunks(logits.dim(-1) as usize).zip(&self.rows);
        let hash = |row: &[f32]| {
            row.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
                (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3)
            })
        };
        Ok(rows.map(|(values, row)| row.hashed.then(|| hash(values))).collect())
    }
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
