//! The engine's Backend on MLX: prefill of one session, decode steps of many.

use super::attention::Step;
use super::cuda;
use super::decoder::Decoder;
use super::device::ComputeDevice;
use super::kv::{ApartCaches, OwnStep, SharedKvCache};
use super::load::load;
use super::prefill::{Reading, read_alone, read_in_blocks, read_packed};
use super::prefix::PrefixStore;
use super::probe::{BLOCK, ExactPlan, ExactReading, check_width};
use super::quantization::Quantization;
use super::rope::Positions;
use super::row::{Row, RowKv};
use super::step::MlxStep;
use super::{ModelError, kv::KvCache};
use crate::engine::{Backend, BackendError, PromptRules, StepOutput};
use crate::hub::ModelFiles;
use crate::protocol::{DeviceKind, Execution, MemoryFigures, ModelFacts, SessionRequest};
use mlx_rs::error::Result;
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype, memory};

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
    pub(super) decoder: Decoder,
    pub(super) facts: ModelFacts,
    /// Of sessions that decode together; see [`caches_of`].
    pub(super) caches: [SharedCaches; 2],
    /// None where exact execution is not possible.
    pub(super) exact_plan: Option<ExactPlan>,
    pub(super) prefixes: PrefixStore,
}

/// The caches of an execution's sessions.
#[derive(Debug, Default)]
pub(super) struct SharedCaches {
    /// Of rows that are attended at once, whatever their lengths.
    pub together: SharedKvCache,
    /// Of rows that are attended by themselves, or with equally long ones.
    pub apart: ApartCaches,
}

/// Which of a backend's caches the sessions of `execution` are in.
pub(super) fn caches_of(execution: Execution) -> usize {
    usize::from(execution == Execution::Exact)
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
        let mut cache = self.empty_cache()?;
        let mut rows = Vec::with_capacity(tokens.len());
        for part in tokens.chunks(chunk.max(1)) {
            let hidden = read_alone(&self.decoder, self.facts.device, Reading { cache: &mut cache, tokens: part })?;
            let logits = self.decoder.logits(&hidden)?.as_dtype(Dtype::Float32)?;
            let flat = logits.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
            rows.extend(flat.chunks(logits.dim(-1) as usize).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    fn empty_cache(&self) -> Result<KvCache> {
        match self.decoder.attends_in_place() {
            true => KvCache::in_place(&self.decoder.kv_shape),
            false => KvCache::new(&self.decoder.kv_shape),
        }
    }

    fn exact_reading(&self) -> ExactReading {
        self.exact_plan.as_ref().map_or(ExactReading::Alone, |plan| plan.reading)
    }

    /// How many tokens a pass over the row's prompt reads where it may read `limit`.
    fn next_pass(&self, row: &Row, limit: usize) -> usize {
        self.prompt_rules(row.execution).pass(row.position as usize, row.prefill_total(), limit)
    }

    pub(super) fn why_not_exact(&self) -> BackendError {
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
        let cache = self.empty_cache()?;
        let mut row = Row::new(request, execution, cache).ok_or_else(|| BackendError("the prompt is empty".into()))?;
        let unfed = &row.prompt[..row.prefill_total()];
        if let Some(shared) = self.prefixes.longest(unfed, execution, self.prompt_rules(execution).cut) {
            row.position = shared.length();
            row.kv = RowKv::Own(shared);
        }
        if let Some(cache) = row.kv.own() {
            cache.expect(row.expected_tokens);
        }
        Ok(row)
    }

    fn prefilled(&self, row: &Row) -> usize {
        (row.position as usize).min(row.prefill_total())
    }

    fn prompt_rules(&self, execution: Execution) -> PromptRules {
        let freely = PromptRules { cut: 1, stops_at_cut: false, together: execution != Execution::Serialized };
        match (execution, self.exact_reading()) {
            (Execution::Serialized | Execution::Batched, _) | (Execution::Exact, ExactReading::Freely) => freely,
            (Execution::Exact, ExactReading::InBlocks) => PromptRules { cut: CHUNK_OF_BLOCKS, ..freely },
            (Execution::Exact, ExactReading::Alone) => {
                PromptRules { cut: CHUNK_ALONE, stops_at_cut: true, together: false }
            }
        }
    }

    fn known(&self, tokens: &[u32], execution: Execution) -> usize {
        let known = self.prefixes.longest(tokens, execution, self.prompt_rules(execution).cut);
        known.map_or(0, |cache| cache.length() as usize)
    }

    fn prefill(&mut self, row: &mut Row, limit: usize) -> std::result::Result<usize, BackendError> {
        match self.next_pass(row, limit) {
            0 => Ok(0),
            _ => Ok(self.prefill_together(&mut [(row, limit)])?.into_iter().sum()),
        }
    }

    fn prefill_together(&mut self, rows: &mut [(&mut Row, usize)]) -> std::result::Result<Vec<usize>, BackendError> {
        let is_exact = rows.iter().any(|(row, _)| row.execution == Execution::Exact);
        let counts: Vec<usize> = rows.iter().map(|(row, limit)| self.next_pass(row, *limit)).collect();
        // A copy would not be written to in place; where arrays are replaced instead, the rows keep theirs until all went
        // well.
        let in_place = self.decoder.attends_in_place();
        let mut caches = Vec::with_capacity(rows.len());
        for (row, _) in rows.iter_mut() {
            caches.push(match row.kv.own().filter(|_| in_place) {
                Some(cache) => std::mem::take(cache),
                None => self.own_cache(row)?,
            });
        }
        let readings = rows.iter().zip(&mut caches).zip(&counts).map(|(((row, _), cache), count)| {
            let start = row.position as usize;
            Reading { cache, tokens: &row.prompt[start..start + count] }
        });
        let mut readings: Vec<Reading<'_>> = readings.collect();
        let read = if is_exact && self.exact_reading() == ExactReading::InBlocks {
            read_in_blocks(&self.decoder, self.facts.device, &mut readings, CHUNK_OF_BLOCKS)
        } else {
            read_packed(&self.decoder, self.facts.device, &mut readings)
        };
        if let Err(error) = read {
            for ((row, _), mut cache) in rows.iter_mut().zip(caches).filter(|_| in_place) {
                cache.cut(row.position);
                row.kv = RowKv::Own(cache);
            }
            return Err(error.into());
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
        self.launch_step(rows, execution)
    }

    fn read(&mut self, step: MlxStep) -> std::result::Result<Vec<StepOutput>, BackendError> {
        step.read()
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
        if let Err(error) = memory::reset_peak_memory() {
            tracing::warn!("MLX did not reset its peak memory: {}", error.what());
        }
    }

    fn forget_prompts(&mut self) {
        self.prefixes.clear();
    }

    fn free_unused(&mut self) {
        for caches in &mut self.caches {
            caches.together.clear_unused();
            caches.apart.clear_unused();
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
