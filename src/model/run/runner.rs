//! Runs sessions over one model: opens their rows and reads their prompts. It owns the caches and the plan.

use super::exact::{BLOCK, ExactPlan, ExactReading};
use super::prefill::{Reading, read_alone, read_in_blocks, read_packed};
use super::row::{Row, RowKv};
use crate::engine::{BackendError, PromptRules};
use crate::model::kernels::{Kernels, KvSnapshot, Positions};
use crate::model::kv::{Groups, KvCache, Pass, PrefixStore};
use crate::model::layers::{Decoder, Forward};
use crate::protocol::{DeviceKind, Execution, SessionRequest};
use mlx_rs::error::Result;
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use std::rc::Rc;
use std::sync::Arc;

/// Tokens of exact prefill's chunks where a pass holds one chunk.
const CHUNK_ALONE: usize = 128;
/// Where a pass holds many: the shorter, the more of their beginnings two prompts can share.
const CHUNK_OF_BLOCKS: usize = 2 * BLOCK;

/// Tokens of chunks that bring in all kernels of prefill and, with few, of steps.
const WARM_UP: [usize; 3] = [LONGEST_WARM_UP, 1, 9];
const LONGEST_WARM_UP: usize = 80;

/// A model, what computes it, and the caches of its sessions.
#[derive(Debug)]
pub struct Runner {
    pub(super) decoder: Decoder,
    pub(super) kernels: Rc<dyn Kernels>,
    pub(super) device: DeviceKind,
    /// How exact execution runs, or why it can't.
    pub(super) exact: std::result::Result<ExactPlan, String>,
    /// Shared caches of sessions that decode together: those of exact execution apart from the others'.
    groups: [Groups; 2],
    pub(super) prefixes: PrefixStore,
}

impl Runner {
    /// Over a model whose weights are evaluated.
    pub fn new(
        decoder: Decoder,
        kernels: Rc<dyn Kernels>,
        device: DeviceKind,
        exact: std::result::Result<ExactPlan, String>,
    ) -> Self {
        Self { decoder, kernels, device, exact, groups: Default::default(), prefixes: PrefixStore::default() }
    }

    /// The model.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What computes it.
    pub fn kernels(&self) -> &dyn Kernels {
        &*self.kernels
    }

    /// Runs exact execution by another plan from now on.
    pub fn set_exact(&mut self, plan: ExactPlan) {
        self.exact = Ok(plan);
    }

    /// Has MLX compile and load what a first prompt and the first steps would wait for.
    pub fn warm_up(&self) -> Result<()> {
        let kernels = &*self.kernels;
        let mut cache = KvCache::new(kernels, &self.decoder.kv_shape)?;
        for tokens in WARM_UP {
            let reading = Reading { cache: &mut cache, tokens: &[0; LONGEST_WARM_UP][..tokens] };
            eval([&read_alone(&self.decoder, kernels, reading)?])?;
        }
        let positions = Positions::each(vec![cache.length()]);
        let mut pass = Pass::step(vec![&mut cache], 1);
        let token = Array::from_slice(&[0_u32], &[1]);
        let mut forward = Forward { kernels, positions: &positions, pass: &mut pass };
        eval([&self.decoder.logits(kernels, &self.decoder.hidden(&token, &mut forward)?)?])
    }

    /// The logits `[L, vocab]` (f32) of a prompt read in chunks of at most `chunk` tokens, for tests and probes.
    pub fn prompt_logits(&self, tokens: &[u32], chunk: usize) -> std::result::Result<Vec<Vec<f32>>, BackendError> {
        let kernels = &*self.kernels;
        let mut cache = KvCache::new(kernels, &self.decoder.kv_shape)?;
        let mut rows = Vec::with_capacity(tokens.len());
        for part in tokens.chunks(chunk.max(1)) {
            let hidden = read_alone(&self.decoder, kernels, Reading { cache: &mut cache, tokens: part })?;
            let logits = self.decoder.logits(kernels, &hidden)?.as_dtype(Dtype::Float32)?;
            let flat = logits.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
            rows.extend(flat.chunks(logits.dim(-1) as usize).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    /// The row of a session whose prompt has not been read yet, but for a beginning that is known.
    pub fn open(&mut self, request: &SessionRequest, execution: Execution) -> std::result::Result<Row, BackendError> {
        if execution == Execution::Exact {
            self.plan()?;
        }
        let vocabulary = self.decoder.embed_tokens.outputs();
        if let Some(id) = request.prompt.iter().find(|id| i64::from(**id) >= i64::from(vocabulary)) {
            return Err(BackendError(format!(
                "the tokenizer gave the id {id}, but the model knows only {vocabulary} tokens; tokenizer and weights don't belong together"
            )));
        }
        let cache = KvCache::new(&*self.kernels, &self.decoder.kv_shape)?;
        let mut row = Row::new(request, execution, cache).ok_or_else(|| BackendError("the prompt is empty".into()))?;
        let unfed = &row.prompt[..row.prefill_total()];
        if let Some(shared) = self.prefixes.longest(unfed, execution, self.prompt_rules(execution).cut) {
            row.position = shared.length();
            row.kv = RowKv::Own(KvCache::of(&shared)?);
        }
        if let Some(cache) = row.kv.own() {
            cache.expect(row.expected_tokens);
        }
        Ok(row)
    }

    /// How the prompts of an execution are read.
    pub fn prompt_rules(&self, execution: Execution) -> PromptRules {
        let freely = PromptRules { cut: 1, stops_at_cut: false, together: execution != Execution::Serialized };
        match (execution, self.exact_reading()) {
            (Execution::Serialized | Execution::Batched, _) | (Execution::Exact, ExactReading::Freely) => freely,
            (Execution::Exact, ExactReading::InBlocks) => PromptRules { cut: CHUNK_OF_BLOCKS, ..freely },
            (Execution::Exact, ExactReading::Alone) => {
                PromptRules { cut: CHUNK_ALONE, stops_at_cut: true, together: false }
            }
        }
    }

    /// How many tokens a pass over the row's prompt reads where it may read `limit`.
    pub fn next_pass(&self, row: &Row, limit: usize) -> usize {
        self.prompt_rules(row.execution).pass(row.position as usize, row.prefill_total(), limit)
    }

    /// How many tokens of the prompt beginning `tokens` a row that is opened now holds from the start.
    pub fn known(&self, tokens: &[u32], execution: Execution) -> usize {
        let known = self.prefixes.longest(tokens, execution, self.prompt_rules(execution).cut);
        known.map_or(0, |snapshot| snapshot.length() as usize)
    }

    /// Reads several prompts of one execution at once: of each row at most so many tokens, but for fixed chunk boundaries.
    /// Returns how many were read of each; an error leaves every row where it was.
    pub fn read_together(&mut self, rows: &mut [(&mut Row, usize)]) -> std::result::Result<Vec<usize>, BackendError> {
        let is_exact = rows.iter().any(|(row, _)| row.execution == Execution::Exact);
        let counts: Vec<usize> = rows.iter().map(|(row, limit)| self.next_pass(row, *limit)).collect();
        let prompts: Vec<Arc<[u32]>> = rows.iter().map(|(row, _)| Arc::clone(&row.prompt)).collect();
        let mut readings: Vec<Reading<'_>> = Vec::with_capacity(rows.len());
        for (((row, _), prompt), count) in rows.iter_mut().zip(&prompts).zip(&counts) {
            let start = row.position as usize;
            readings.push(Reading { cache: own_cache(&mut self.groups, row)?, tokens: &prompt[start..start + count] });
        }
        let read = if is_exact && self.exact_reading() == ExactReading::InBlocks {
            read_in_blocks(&self.decoder, &*self.kernels, &mut readings, CHUNK_OF_BLOCKS)
        } else {
            read_packed(&self.decoder, &*self.kernels, &mut readings)
        };
        for ((row, _), count) in rows.iter_mut().zip(&counts) {
            let position = row.position + if read.is_ok() { *count as i32 } else { 0 };
            let total = row.prefill_total();
            let Row { kv, prompt, execution, .. } = &mut **row;
            let RowKv::Own(cache) = kv else { continue };
            cache.cut(position);
            if read.is_ok() && position as usize == total {
                self.prefixes.keep(&prompt[..total], *execution, &cache.snapshot());
            }
            row.position = position;
        }
        read?;
        Ok(counts)
    }

    /// Forgets all prompt beginnings that are kept.
    pub fn forget_prompts(&mut self) {
        self.prefixes.clear();
    }

    /// Frees the memory of caches that all sessions have left.
    pub fn free_unused(&mut self) {
        self.groups.iter_mut().for_each(Groups::clear_unused);
    }

    /// The plan of exact execution, or why there is none.
    pub(super) fn plan(&self) -> std::result::Result<&ExactPlan, BackendError> {
        self.exact.as_ref().map_err(|reason| BackendError(reason.clone()))
    }

    /// The shared caches of an execution's sessions.
    pub(super) fn groups(&mut self, execution: Execution) -> &mut Groups {
        groups_of(&mut self.groups, execution)
    }

    /// [`Runner::groups`], and the model beside them.
    pub(super) fn groups_and_decoder(&mut self, execution: Execution) -> (&mut Groups, &Decoder) {
        (groups_of(&mut self.groups, execution), &self.decoder)
    }

    /// The row's tokens in a cache of its own.
    pub(super) fn make_own<'a>(&mut self, row: &'a mut Row) -> Result<&'a mut KvCache> {
        own_cache(&mut self.groups, row)
    }

    /// A copy of the row's tokens, to be moved in among others.
    pub(super) fn snapshot(&mut self, row: &mut Row) -> Result<KvSnapshot> {
        let execution = row.execution;
        match &mut row.kv {
            RowKv::Own(cache) => Ok(cache.snapshot()),
            RowKv::Shared(seat) => groups_of(&mut self.groups, execution).extract(seat),
        }
    }

    fn exact_reading(&self) -> ExactReading {
        self.exact.as_ref().map_or(ExactReading::Alone, |plan| plan.reading)
    }
}

fn groups_of(groups: &mut [Groups; 2], execution: Execution) -> &mut Groups {
    &mut groups[usize::from(execution == Execution::Exact)]
}

fn own_cache<'a>(groups: &mut [Groups; 2], row: &'a mut Row) -> Result<&'a mut KvCache> {
    if let RowKv::Shared(seat) = &row.kv {
        let tokens = groups_of(groups, row.execution).extract(seat)?;
        row.kv = RowKv::Own(KvCache::of(&tokens)?);
    }
    match &mut row.kv {
        RowKv::Own(cache) => Ok(cache),
        RowKv::Shared(_) => Err(mlx_rs::error::Exception::custom("a session has no cache of its own")),
    }
}
