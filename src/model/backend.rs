//! The engine's Backend on MLX: prefill of one session, decode steps of many.

use super::attention::Step;
use super::decoder::Decoder;
use super::device::ComputeDevice;
use super::kv::{LockstepCaches, LockstepStep, OwnStep, PaddedKvCache, Prefill, PrefillTogether, Seat, Slot};
use super::load::load;
use super::prefix::PrefixStore;
use super::probe::{ExactPlan, check_width};
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
use std::rc::Rc;

/// Exact prefill cuts the prompt at multiples of this, wherever the engine would like to.
const EXACT_CHUNK: usize = 128;

/// One model on one MLX device. It must be made, used and dropped on one thread.
#[derive(Debug)]
pub struct MlxBackend {
    decoder: Decoder,
    facts: ModelFacts,
    padded: PaddedKvCache,
    lockstep: LockstepCaches,
    /// None where exact execution is not possible.
    exact: Option<ExactPlan>,
    prefixes: PrefixStore,
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
        let mut backend = Self {
            padded: PaddedKvCache::default(),
            lockstep: LockstepCaches::default(),
            exact: None,
            prefixes: PrefixStore::default(),
            decoder: loaded.decoder,
            facts: loaded.facts,
        };
        if let Ok(plan) = loaded.exact {
            backend.follow(plan);
        }
        Ok(backend)
    }

    /// Runs exact execution in cohorts of `width` rows from now on; refuses one at which nothing would be exact.
    pub fn set_exact_width(&mut self, width: u32) -> std::result::Result<(), BackendError> {
        let plan = check_width(&self.decoder, width as usize, self.facts.device)?;
        self.facts.exact_width = Ok(width);
        self.follow(plan);
        Ok(())
    }

    fn follow(&mut self, plan: ExactPlan) {
        self.lockstep = LockstepCaches::new(plan.most_in_lockstep);
        self.exact = Some(plan);
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
            let hidden = self.read_tokens(&mut cache, part)?;
            let logits = self.decoder.logits(&hidden)?.as_dtype(Dtype::Float32)?;
            let flat = logits.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
            rows.extend(flat.chunks(logits.dim(-1) as usize).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    /// Runs the next tokens of one session through the layers; returns their hidden states [L, hidden].
    fn read_tokens(&self, cache: &mut KvCache, tokens: &[u32]) -> Result<Array> {
        let count = tokens.len() as i32;
        let positions = Positions::from(cache.length(), count, self.facts.device);
        let ids = Array::from_slice(tokens, &[count]);
        let mut attend = Prefill(cache);
        let hidden = self.decoder.hidden(&ids, &mut Step { positions: &positions, attend: &mut attend })?;
        cache.advance(count);
        Ok(hidden)
    }

    /// One decode step of one row over its own cache.
    fn launch_alone(&mut self, row: &mut Row, place: usize) -> Result<Launched> {
        let width = self.comfortable_width(1);
        let mut cache = self.own_cache(row)?;
        let tokens = next_tokens(&[&mut *row], width)?;
        let positions = self.positions(&[&mut *row], width);
        let mut attend = OwnStep(&mut cache);
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
        cache.advance(1);
        row.kv = RowKv::Own(cache);
        self.finish_launch(&hidden, &mut [row], &[place])
    }

    /// One decode step of rows that share the padded cache.
    fn launch_padded(&mut self, rows: &mut [&mut Row]) -> Result<Launched> {
        let mut slots: Vec<Slot> = Vec::with_capacity(rows.len());
        for row in rows.iter_mut() {
            let slot = match &row.kv {
                RowKv::Padded(slot) => slot.clone(),
                RowKv::Own(cache) => self.padded.join(cache)?,
                RowKv::Seated(seat) => self.padded.join(&seat.extract()?)?,
            };
            row.kv = RowKv::Padded(slot.clone());
            slots.push(slot);
        }
        let width = self.comfortable_width(rows.len());
        let tokens = next_tokens(rows, width)?;
        let positions = self.positions(rows, width);
        let mut attend = self.padded.step(&slots, width)?;
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
        attend.finish();
        let places: Vec<usize> = (0..rows.len()).collect();
        self.finish_launch(&hidden, rows, &places)
    }

    /// One decode step in cohorts, each row attending over exactly its own tokens.
    fn launch_exact(&mut self, rows: &mut [&mut Row], plan: &ExactPlan) -> Result<Vec<Launched>> {
        for row in rows.iter_mut() {
            if !matches!(row.kv, RowKv::Seated(_)) {
                let cache = self.own_cache(row)?;
                row.kv = RowKv::Seated(self.lockstep.join(cache)?);
            }
        }
        let order = self.lockstep.order(&mut seats(rows))?;
        let mut rows: Vec<(usize, &mut Row)> = rows.iter_mut().map(|row| &mut **row).enumerate().collect();
        let mut place_in_order = vec![0; order.len()];
        for (place, index) in order.iter().enumerate() {
            place_in_order[*index] = place;
        }
        rows.sort_by_key(|(index, _)| place_in_order[*index]);
        let (places, mut rows): (Vec<usize>, Vec<&mut Row>) = rows.into_iter().unzip();
        let mut launched = Vec::new();
        for (cohort, places) in rows.chunks_mut(plan.width()).zip(places.chunks(plan.width())) {
            let width = plan.padded(cohort.len());
            let tokens = next_tokens(cohort, width)?;
            let positions = self.positions(cohort, width);
            let mut attend = LockstepStep::new(&seats(cohort));
            let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
            launched.push((hidden, places));
        }
        self.lockstep.advance(&seats(&mut rows));
        let cohorts = rows.chunks_mut(plan.width()).zip(launched);
        cohorts.map(|(cohort, (hidden, places))| self.finish_launch(&hidden, cohort, places)).collect()
    }

    /// The row's tokens as a cache of its own.
    fn own_cache(&self, row: &Row) -> Result<KvCache> {
        match &row.kv {
            RowKv::Own(cache) => Ok(cache.clone()),
            RowKv::Padded(slot) => self.padded.extract(slot),
            RowKv::Seated(seat) => seat.extract(),
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
            DeviceKind::Cpu if rows > 2 => rows.next_multiple_of(16),
            DeviceKind::Cpu | DeviceKind::Gpu => rows,
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
        if execution == Execution::Exact && self.exact.is_none() {
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
        let granularity = if execution == Execution::Exact { EXACT_CHUNK } else { 1 };
        if let Some(shared) = self.prefixes.longest(&row.prompt[..row.prefill_total()], execution, granularity) {
            row.position = shared.length();
            row.kv = RowKv::Own(shared);
        }
        Ok(row)
    }

    fn prefilled(&self, row: &Row) -> usize {
        (row.position as usize).min(row.prefill_total())
    }

    fn prefill(&mut self, row: &mut Row, limit: usize) -> std::result::Result<usize, BackendError> {
        let (start, total) = (row.position as usize, row.prefill_total());
        if start >= total {
            return Ok(0);
        }
        let RowKv::Own(cache) = &mut row.kv else {
            return Err(BackendError("a session that decodes can't be prefilled again".into()));
        };
        let limit = if row.execution == Execution::Exact { EXACT_CHUNK - start % EXACT_CHUNK } else { limit.max(1) };
        let end = total.min(start + limit);
        self.read_tokens(cache, &row.prompt[start..end])?;
        eval(cache.arrays())?;
        row.position = end as i32;
        if end == total {
            self.prefixes.keep(&row.prompt[..total], row.execution, cache);
        }
        Ok(end - start)
    }

    fn reads_together(&self) -> bool {
        true
    }

    fn prefill_together(&mut self, rows: &mut [(&mut Row, usize)]) -> std::result::Result<Vec<usize>, BackendError> {
        let (mut tokens, mut offsets, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut caches = Vec::with_capacity(rows.len());
        for (row, limit) in rows.iter() {
            let start = row.position as usize;
            let end = row.prefill_total().min(start + *limit);
            tokens.extend_from_slice(&row.prompt[start..end]);
            offsets.extend(start as i32..end as i32);
            counts.push(end - start);
            caches.push(self.own_cache(row)?);
        }
        let positions = Positions::each(offsets, self.facts.device);
        let ids = Array::from_slice(&tokens, &[tokens.len() as i32]);
        let parts = caches.iter_mut().zip(&counts).map(|(cache, count)| (Prefill(cache), *count as i32));
        let mut attend = PrefillTogether(parts.collect());
        self.decoder.hidden(&ids, &mut Step { positions: &positions, attend: &mut attend })?;
        eval(caches.iter().flat_map(KvCache::arrays))?;
        for (((row, _), mut cache), count) in rows.iter_mut().zip(caches).zip(&counts) {
            cache.advance(*count as i32);
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
                let alone = rows.iter_mut().enumerate().map(|(place, row)| self.launch_alone(row, place));
                alone.collect::<Result<Vec<_>>>()?
            }
            Execution::Batched => match rows {
                [only] => vec![self.launch_alone(only, 0)?],
                many => vec![self.launch_padded(many)?],
            },
            Execution::Exact => {
                let plan = self.exact.clone().ok_or_else(|| self.why_not_exact())?;
                self.launch_exact(rows, &plan)?
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
        self.padded.clear_unused();
        if let Err(error) = memory::reset_peak_memory() {
            tracing::warn!("MLX did not reset its peak memory: {}", error.what());
        }
    }

    fn set_cache_limit(&mut self, bytes: u64) -> std::result::Result<(), BackendError> {
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

/// The seats of rows that have one.
fn seats<'a>(rows: &'a mut [&mut Row]) -> Vec<&'a mut Seat> {
    let seats = rows.iter_mut().filter_map(|row| match &mut row.kv {
        RowKv::Seated(seat) => Some(seat),
        RowKv::Own(_) | RowKv::Padded(_) => None,
    });
    seats.collect()
}
