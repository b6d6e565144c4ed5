//! The engine's Backend on MLX: one model on one device, run by a [`Runner`].

use super::ModelError;
use super::device::ComputeDevice;
use super::load::{MlxOptions, load};
use super::run::{MlxStep, Row, Runner, check_width};
use crate::engine::{Backend, BackendError, PromptRules, StepOutput};
use crate::hub::ModelFiles;
use crate::protocol::{Execution, MemoryFigures, ModelFacts, SessionRequest};
use mlx_rs::error::Result;
use mlx_rs::memory;

/// On an NVIDIA GPU MLX keeps at least this much memory for reuse, in bytes: with less than a step's logits take, 32 sessions
/// lost a quarter of their throughput (docs/benchmarks.md).
const LEAST_GPU_CACHE: u64 = 2_000_000_000;

/// One model on one MLX device. It must be made, used and dropped on one thread.
#[derive(Debug)]
pub struct MlxBackend {
    runner: Runner,
    facts: ModelFacts,
}

impl MlxBackend {
    /// Loads a model onto MLX's default device and evaluates all of its weights.
    pub fn load(files: &ModelFiles) -> std::result::Result<Self, ModelError> {
        Self::load_unless(files, MlxOptions::default(), &|| false)
    }

    /// [`MlxBackend::load`], with options, and given up between two weights once `is_cancelled` says so.
    pub fn load_unless(
        files: &ModelFiles,
        options: MlxOptions,
        is_cancelled: &dyn Fn() -> bool,
    ) -> std::result::Result<Self, ModelError> {
        let (runner, facts) = load(files, &ComputeDevice::detect(), options, is_cancelled)?;
        if runner.kernels().promises().needs_warm_up {
            runner.warm_up()?;
        }
        Ok(Self { runner, facts })
    }

    /// Runs exact execution in cohorts of `width` rows from now on; refuses one at which nothing would be exact.
    pub fn set_exact_width(&mut self, width: u32) -> std::result::Result<(), BackendError> {
        let plan = check_width(self.runner.decoder(), self.runner.kernels(), width as usize, self.facts.device)?;
        self.facts.exact_width = Ok(width);
        self.runner.set_exact(plan);
        Ok(())
    }

    /// The model in figures.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// What the kernels are called.
    pub fn kernels(&self) -> &'static str {
        self.runner.kernels().name()
    }

    /// The logits `[L, vocab]` (f32) of a prompt read in chunks of at most `chunk` tokens, for tests and probes.
    pub fn prompt_logits(&self, tokens: &[u32], chunk: usize) -> std::result::Result<Vec<Vec<f32>>, BackendError> {
        self.runner.prompt_logits(tokens, chunk)
    }
}

impl Backend for MlxBackend {
    type Row = Row;
    type Step = MlxStep;

    fn open(&mut self, request: &SessionRequest, execution: Execution) -> std::result::Result<Row, BackendError> {
        self.runner.open(request, execution)
    }

    fn prefilled(&self, row: &Row) -> usize {
        row.prefilled()
    }

    fn prompt_rules(&self, execution: Execution) -> PromptRules {
        self.runner.prompt_rules(execution)
    }

    fn known(&self, tokens: &[u32], execution: Execution) -> usize {
        self.runner.known(tokens, execution)
    }

    fn prefill(&mut self, row: &mut Row, limit: usize) -> std::result::Result<usize, BackendError> {
        match self.runner.next_pass(row, limit) {
            0 => Ok(0),
            _ => Ok(self.runner.read_together(&mut [(row, limit)])?.into_iter().sum()),
        }
    }

    fn prefill_together(&mut self, rows: &mut [(&mut Row, usize)]) -> std::result::Result<Vec<usize>, BackendError> {
        self.runner.read_together(rows)
    }

    fn launch(&mut self, rows: &mut [&mut Row], execution: Execution) -> std::result::Result<MlxStep, BackendError> {
        self.runner.launch(rows, execution)
    }

    fn read(&mut self, step: MlxStep) -> std::result::Result<Vec<StepOutput>, BackendError> {
        step.read()
    }

    fn looks_ahead(&self) -> bool {
        self.runner.looks_ahead()
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
        self.runner.forget_prompts();
    }

    fn free_unused(&mut self) {
        self.runner.free_unused();
    }

    fn set_cache_limit(&mut self, bytes: u64) -> std::result::Result<(), BackendError> {
        let bytes = if self.runner.kernels().promises().needs_warm_up { bytes.max(LEAST_GPU_CACHE) } else { bytes };
        memory::set_cache_limit(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(())
    }

    fn context_length(&self) -> u32 {
        self.facts.context_length
    }
}
