//! The library's front door: load a model on MLX, evaluate prompts in parallel, read events or a report.
//!
//! [`run_parallel_evaluation`] does everything in one call. To watch sessions while they run, or to run several times
//! over one load, call [`load_model`] and then [`ParallelRun::start`], as `examples/stream_events.rs` does.

use crate::engine::{EngineSettings, LoadCancel};
use crate::hub::ModelFiles;
use crate::model::{KernelChoice, MlxBackend, MlxOptions, Quantization, can_quantize};
use crate::platform;
use crate::protocol::SessionUpdate;
use crate::protocol::{
    EvaluationResult, InvalidConfig, LoadProgress, ModelSource, ParallelConfig, RunReport, UpdateKind,
};
use crate::session::{LoadError, LoadedModel, ParallelRun, report};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many updates may wait for a reader before its sessions wait too.
pub const UPDATE_BUFFER: usize = 1024;

/// Why an evaluation gave no report.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A setting is outside of its range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The model could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The console can't be written to.
    #[error("the report can't be written: {0}")]
    Output(#[from] io::Error),
}

/// Loads a model onto MLX's default device; all weights are evaluated when it returns.
pub async fn load_model(
    source: ModelSource,
    settings: EngineSettings,
    progress: impl Fn(LoadProgress) + Send + Sync,
) -> Result<LoadedModel, LoadError> {
    load_model_with(source, settings, LoadOptions::default(), progress).await
}

/// What a load may be asked for besides its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The cohort width of exact execution; one at which nothing would be exact is refused. None leaves the choice to
    /// the load.
    pub exact_width: Option<u32>,
    /// Packs the matrices of a dense checkpoint.
    pub quantize: Option<Quantization>,
    /// A model that can't be packed is loaded as it is stored instead of being refused.
    pub quantizes_if_dense: bool,
    /// Which kernels serve the model.
    pub kernels: KernelChoice,
}

/// [`load_model`], with options.
pub async fn load_model_with(
    source: ModelSource,
    settings: EngineSettings,
    options: LoadOptions,
    progress: impl Fn(LoadProgress) + Send + Sync,
) -> Result<LoadedModel, LoadError> {
    if let Some(problem) = platform::gpu_problem() {
        return Err(LoadError::Device(problem.to_string()));
    }
    let exact_width = options.exact_width;
    let load = move |files: &ModelFiles, cancel: &LoadCancel| {
        let stays = options.quantizes_if_dense && !can_quantize(files).map_err(|error| error.to_string())?;
        let quantize = options.quantize.filter(|_| !stays);
        let options = MlxOptions { quantize, kernels: options.kernels };
        let loaded = MlxBackend::load_unless(files, options, &|| cancel.is_cancelled());
        let mut backend = loaded.map_err(|error| error.to_string())?;
        if let Some(width) = exact_width {
            backend.set_exact_width(width).map_err(|error| error.to_string())?;
        }
        let facts = backend.facts().clone();
        Ok::<_, String>((backend, facts))
    };
    LoadedModel::load(source, settings, progress, load).await
}

/// Loads the model of `config`, runs all sessions to their ends, and unloads it. A session that fails does so in the
/// report; only settings that make no sense and a model that doesn't load are errors.
pub async fn run_parallel_evaluation(config: ParallelConfig) -> Result<RunReport, EvaluationError> {
    report_evaluation(config, &mut io::sink()).await
}

/// [`run_parallel_evaluation`] with the default settings: three sessions, three prompts, the starter model.
pub async fn run_default_example() -> Result<Vec<EvaluationResult>, EvaluationError> {
    Ok(run_parallel_evaluation(ParallelConfig::default()).await?.sessions)
}

/// The simple demo: the default run, reported on the console.
pub async fn demonstrate_parallel_evaluation() -> Result<RunReport, EvaluationError> {
    report_evaluation(ParallelConfig::default(), &mut io::stdout()).await
}

/// The advanced demo: settings of its own, reported on the console.
pub async fn run_advanced_parallel_evaluation() -> Result<RunReport, EvaluationError> {
    let prompts = [
        "Write a haiku about AI.",
        "Explain neural networks simply.",
        "What is machine learning?",
        "Describe the future of technology.",
        "How does deep learning work?",
    ];
    let config = ParallelConfig {
        sessions: prompts.len() as u32,
        prompts: prompts.map(str::to_owned).to_vec(),
        max_tokens: 150,
        temperature: 0.8,
        ..ParallelConfig::default()
    };
    report_evaluation(config, &mut io::stdout()).await
}

async fn report_evaluation(config: ParallelConfig, out: &mut impl Write) -> Result<RunReport, EvaluationError> {
    config.validate()?;
    let settings = EngineSettings { cache_limit: config.cache_limit(), ..EngineSettings::default() };
    let model = load_model(config.model.clone(), settings, |_| {}).await?;
    let (updates, reader) = mpsc::channel(UPDATE_BUFFER);
    let run = ParallelRun::start(&model, config.clone(), updates, Arc::new(|| {}))?;
    let report = report_run(run, reader, &config, &model.summary().name, out).await;
    model.engine().shutdown().await;
    Ok(report?)
}

/// Writes the console report of a run while it goes, and returns what it gave.
pub async fn report_run(
    run: ParallelRun,
    mut updates: mpsc::Receiver<SessionUpdate>,
    config: &ParallelConfig,
    model: &str,
    out: &mut impl Write,
) -> io::Result<RunReport> {
    out.write_all(report::opening(config, model).as_bytes())?;
    out.flush()?;
    while let Some(update) = updates.recv().await {
        if let UpdateKind::Ended(result) = update.kind {
            out.write_all(report::ended(&result).as_bytes())?;
            out.flush()?;
        }
    }
    let report = run.finish().await;
    out.write_all(report::results(&report).as_bytes())?;
    out.flush()?;
    Ok(report)
}
