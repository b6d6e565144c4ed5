//! The engine's Backend on MLX: prefill of one session, decode steps of many.

use super::attention::Step;
use super::decoder::Decoder;
use super::device::ComputeDevice;
use super::kv::{EachOwn, PaddedKvCache, Prefill, Slot};
use super::load::load;
use super::prefix::PrefixStore;
use super::probe::check_width;
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
    /// Which rows want their logits hashed; its length is the number of real rows.
    hashed: Vec<bool>,
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
        let padded = PaddedKvCache::new(loaded.decoder.kv_shape);
        Ok(Self { decoder: loaded.decoder, facts: loaded.facts, padded, prefixes: PrefixStore::default() })
    }

    /// Runs exact execution in cohorts of `width` rows from now on; refuses one at which nothing would be exact.
    pub fn set_exact_width(&mut self, width: u32) -> std::result::Result<(), BackendError> {
        check_width(&self.decoder, width as usize)?;
        self.facts.exact_width = Ok(width);
        Ok(())
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
            let logits = self.decoder.logits(&hidden)?.squeeze_axes(&[0])?.as_dtype(Dtype::Float32)?;
            let flat = logits.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
            rows.extend(flat.chunks(logits.dim(-1) as usize).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    /// Runs the next tokens of one session through the layers; returns their hidden states [1, L, hidden].
    fn read_tokens(&self, cache: &mut KvCache, tokens: &[u32]) -> Result<Array> {
        let count = tokens.len() as i32;
        let positions = Positions::From(cache.length());
        let ids = Array::from_slice(tokens, &[1, count]);
        let mut attend = Prefill(cache);
        let hidden = self.decoder.hidden(&ids, &mut Step { positions: &positions, attend: &mut attend })?;
        cache.advance(count);
        Ok(hidden)
    }

    /// One decode step of rows that attend over their own caches, padded to `width` rows.
    fn launch_own(&mut self, rows: &mut [&mut Row], width: usize) -> Result<Launched> {
        for row in rows.iter_mut() {
            if let RowKv::Padded(slot) = &row.kv {
                row.kv = RowKv::Own(self.padded.extract(slot)?);
            }
        }
        let tokens = next_tokens(rows, width)?;
        let positions = positions(rows, width);
        let caches = rows.iter_mut().filter_map(|row| match &mut row.kv {
            RowKv::Own(cache) => Some(cache),
            RowKv::Padded(_) => None,
        });
        let mut attend = EachOwn(caches.collect());
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
        for cache in attend.0 {
            cache.advance(1);
        }
        self.finish_launch(&hidden, rows)
    }

    /// One decode step of rows that share the padded cache.
    fn launch_padded(&mut self, rows: &mut [&mut Row]) -> Result<Launched> {
        let mut slots: Vec<Slot> = Vec::with_capacity(rows.len());
        for row in rows.iter_mut() {
            if let RowKv::Own(cache) = &row.kv {
                row.kv = RowKv::Padded(self.padded.join(cache)?);
            }
            if let RowKv::Padded(slot) = &row.kv {
                slots.push(slot.clone());
            }
        }
        let tokens = next_tokens(rows, rows.len())?;
        let positions = positions(rows, rows.len());
        let mut attend = self.padded.step(&slots)?;
        let hidden = self.decoder.hidden(&tokens, &mut Step { positions: &positions, attend: &mut attend })?;
        attend.finish();
        self.finish_launch(&hidden, rows)
    }

    /// hidden [width, 1, hidden] → each real row's sampled token.
    fn finish_launch(&self, hidden: &Array, rows: &mut [&mut Row]) -> Result<Launched> {
        let logits = self.decoder.logits(hidden)?.squeeze_axes(&[1])?;
        let real = rows.len() as i32;
        let logits = if logits.dim(0) > real { logits.try_index(0..real)? } else { logits };
        let draws: Vec<_> = rows.iter().map(|row| row.draw()).collect();
        let ids = Rc::new(sample(&logits, &draws)?);
        for (index, row) in (0..).zip(rows.iter_mut()) {
            row.take_sampled(&ids, index)?;
        }
        let hashed: Vec<bool> = rows.iter().map(|row| row.hash_logits).collect();
        let logits = hashed.contains(&true).then_some(logits);
        if self.looks_ahead() {
            async_eval([&*ids].into_iter().chain(&logits))?;
        }
        Ok(Launched { ids, logits, hashed })
    }

    fn exact_width(&self) -> std::result::Result<usize, BackendError> {
        self.facts.exact_width.as_ref().map(|width| *width as usize).map_err(|why| BackendError(why.clone()))
    }
}

impl Backend for MlxBackend {
    type Row = Row;
    type Step = MlxStep;

    fn open(&mut self, request: &SessionRequest, execution: Execution) -> std::result::Result<Row, BackendError> {
        if execution == Execution::Exact {
            self.exact_width()?;
        }
        let vocabulary = self.decoder.embed_tokens.outputs();
        if let Some(id) = request.prompt.iter().find(|id| i64::from(**id) >= i64::from(vocabulary)) {
            return Err(BackendError(format!(
                "the tokenizer gave the id {id}, but the model knows only {vocabulary} tokens; tokenizer and weights don't belong together"
            )));
        }
        let cache = KvCache::new(&self.decoder.kv_shape)?;
        Row::new(request, execution, cache).ok_or_else(|| BackendError("the prompt is empty".into()))
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
        let granularity = if row.execution == Execution::Exact { EXACT_CHUNK } else { 1 };
        let shared = (start == 0).then(|| self.prefixes.longest(&row.prompt[..total], row.execution, granularity));
        let end = if let Some(Some(shared)) = shared {
            *cache = shared;
            cache.length() as usize
        } else {
            let limit =
                if row.execution == Execution::Exact { EXACT_CHUNK - start % EXACT_CHUNK } else { limit.max(1) };
            let end = total.min(start + limit);
            self.read_tokens(cache, &row.prompt[start..end])?;
            eval(cache.arrays())?;
            end
        };
        row.position = end as i32;
        if end == total {
            self.prefixes.keep(&row.prompt[..total], row.execution, cache);
        }
        Ok(end - start)
    }

    fn launch(&mut self, rows: &mut [&mut Row], execution: Execution) -> std::result::Result<MlxStep, BackendError> {
        let launched = match execution {
            Execution::Serialized => {
                rows.chunks_mut(1).map(|row| self.launch_own(row, 1)).collect::<Result<Vec<_>>>()?
            }
            Execution::Batched if rows.len() == 1 => vec![self.launch_own(rows, 1)?],
            Execution::Batched => vec![self.launch_padded(rows)?],
            Execution::Exact => {
                let width = self.exact_width()?;
                rows.chunks_mut(width).map(|cohort| self.launch_own(cohort, width)).collect::<Result<Vec<_>>>()?
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
            outputs
                .extend(ids.iter().zip(hashes).map(|(token, logits_hash)| StepOutput { token: *token, logits_hash }));
        }
        Ok(outputs)
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
        let Some(logits) = &self.logits else { return Ok(vec![None; self.hashed.len()]) };
        let values =
            logits.as_dtype(Dtype::Float32)?.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
        let rows = values.chunks(logits.dim(-1) as usize);
        let hash = |row: &[f32]| {
            row.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
                (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3)
            })
        };
        Ok(rows.zip(&self.hashed).map(|(row, wanted)| wanted.then(|| hash(row))).collect())
    }
}

/// The tokens that the rows feed: u32 [width, 1]; padding rows feed token 0.
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
        return ids.reshape(&[width as i32, 1]);
    }
    let mut tokens = rows.iter().map(|row| row.next.array()).collect::<Result<Vec<Array>>>()?;
    if padding > 0 {
        tokens.push(Array::from_slice(&vec![0_u32; padding], &[padding as i32]));
    }
    concatenate(&tokens, 0)?.reshape(&[width as i32, 1])
}

/// Where the rows' next tokens stand; padding rows stand at 0.
fn positions(rows: &[&mut Row], width: usize) -> Positions {
    let mut offsets = vec![0_i32; width];
    for (offset, row) in offsets.iter_mut().zip(rows) {
        *offset = row.position;
    }
    Positions::Each(Array::from_slice(&offsets, &[width as i32]))
}
