//! Exact execution on real MLX: every tiny model and the starter model, on seeded random schedules of late joins, early
//! leaves and cancels; and a backend whose rows leak into each other, which the same check must find.

use crate::model_fixtures;
use llmeval::engine::{self, Backend, BackendError, EngineSettings, LoadCancel, PromptRules, StepOutput};
use llmeval::evaluation::{LoadOptions, load_model_with};
use llmeval::hub::ModelFiles;
use llmeval::model::{KernelChoice, MlxBackend, MlxStep, Row, supported_architectures};
use llmeval::protocol::{Execution, MemoryFigures, ModelSource, ParallelConfig, Sampling, SessionId, SessionRequest};
use llmeval::session::LoadedModel;
use llmeval::session::verify::{Comparison, Verdict, verify};
use llmeval::text::TextModel;
use std::path::{Path, PathBuf};

/// Schedules of each tiny model: with 30 of them, more than 200 in all.
const ROUNDS: u32 = 7;

/// Two sessions are equally long, two long ones begin alike, two have one prompt, two are greedy.
fn config(seed: u64) -> ParallelConfig {
    let long = "A b c d e f g h i j k l m n o p q r s t u v w x y z a b c d";
    let prompts =
        ["The quick brown fox".into(), format!("{long} e f"), format!("{long} or"), "The quick brown cat".into()];
    ParallelConfig {
        sessions: 5,
        prompts: prompts.to_vec(),
        raw: true,
        max_tokens: 10,
        temperatures: Some(vec![0.0, 0.9, 0.7, 0.0, 1.3]),
        top_p: if seed.is_multiple_of(2) { 1.0 } else { 0.9 },
        repetition_penalty: if seed.is_multiple_of(3) { 1.1 } else { 1.0 },
        seed,
        execution: Execution::Exact,
        ..ParallelConfig::default()
    }
}

/// The tiny models, dense ones or packed ones.
fn folders(packed: bool) -> Vec<PathBuf> {
    let root = model_fixtures::root().join("models");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| name(folder).contains("bit") == packed).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

async fn load(source: ModelSource, kernels: KernelChoice) -> LoadedModel {
    let options = LoadOptions { kernels, ..LoadOptions::default() };
    load_model_with(source, EngineSettings::default(), options, |_| {}).await.unwrap()
}

/// How many sessions on how many schedules were compared; none may differ.
async fn compare_all(folders: &[PathBuf], kernels: KernelChoice) -> (usize, u32) {
    let (mut compared, mut schedules) = (0, 0);
    for (seed, folder) in (0..).zip(folders) {
        let model = load(ModelSource::Folder(folder.clone()), kernels).await;
        let comparisons = compare(&model, &config(seed), ROUNDS).await;
        assert!(differing(&comparisons).is_empty(), "{}: {:?}", name(folder), differing(&comparisons));
        compared += comparisons.len();
        schedules += ROUNDS;
        model.engine().shutdown().await;
    }
    (compared, schedules)
}

async fn compare(model: &LoadedModel, config: &ParallelConfig, rounds: u32) -> Vec<Comparison> {
    verify(model, config, rounds, |_, _| {}).await.unwrap().comparisons
}

fn differing(comparisons: &[Comparison]) -> Vec<&Comparison> {
    comparisons.iter().filter(|comparison| comparison.verdict != Verdict::Equal).collect()
}

#[tokio::test]
async fn sessions_of_every_dense_tiny_model_are_the_same_alone_and_among_others() {
    for kernels in model_fixtures::KERNELS {
        let (compared, schedules) = compare_all(&folders(false), kernels).await;
        assert!(compared >= 500 && schedules >= 100, "{compared} on {schedules}");
    }
}

#[tokio::test]
async fn sessions_of_every_packed_tiny_model_are_the_same_alone_and_among_others() {
    for kernels in model_fixtures::KERNELS {
        let (compared, schedules) = compare_all(&folders(true), kernels).await;
        assert!(compared >= 400 && schedules >= 90, "{compared} on {schedules}");
    }
}

#[test]
fn the_tiny_models_are_of_every_architecture_and_give_two_hundred_schedules() {
    let all: Vec<PathBuf> = folders(false).into_iter().chain(folders(true)).collect();
    assert!(all.len() as u32 * ROUNDS >= 200, "{} tiny models", all.len());
    for architecture in supported_architectures() {
        assert!(all.iter().any(|folder| name(folder).split('-').next() == Some(architecture)), "{architecture}");
    }
}

#[tokio::test]
async fn eight_sessions_of_the_starter_model_are_the_same_alone_and_among_others() {
    for kernels in model_fixtures::KERNELS {
        let model = load(ModelSource::Starter, kernels).await;
        let config =
            ParallelConfig { sessions: 8, max_tokens: 6, execution: Execution::Exact, ..ParallelConfig::default() };
        let comparisons = compare(&model, &config, 1).await;
        assert_eq!(comparisons.len(), 8);
        assert!(differing(&comparisons).is_empty(), "{comparisons:?}");
        model.engine().shutdown().await;
    }
}

#[test]
fn a_prompt_that_was_read_is_known_until_it_is_forgotten_and_a_new_peak_forgets_nothing() {
    let files = ModelFiles::in_folder(&model_fixtures::root().join("models/qwen3-f32")).unwrap();
    let mut backend = MlxBackend::load(&files).unwrap();
    let prompt: Vec<u32> = (0..400).map(|place| 3 + place % 40).collect();
    let (last, unfed) = prompt.split_last().unwrap();
    for execution in Execution::ALL {
        let request = SessionRequest {
            id: SessionId(0),
            prompt: prompt.clone().into(),
            sampling: Sampling::new(0.0, 1.0, 0, 0.0, 1.0, u64::from(*last)).unwrap(),
            max_tokens: 1,
            end_of_sequence: [].into(),
            hash_logits: false,
        };
        let mut row = backend.open(&request, execution).unwrap();
        let rules = backend.prompt_rules(execution);
        // Passes are as long as the execution's rules say.
        while backend.prefilled(&row) < unfed.len() {
            let planned = rules.pass(backend.prefilled(&row), unfed.len(), 100);
            assert_eq!(backend.prefill(&mut row, 100).unwrap(), planned, "{execution}");
        }
        backend.reset_peak_memory();
        backend.free_unused();
        assert_eq!(backend.known(unfed, execution), unfed.len(), "{execution}");
        let again = backend.open(&request, execution).unwrap();
        assert_eq!(backend.prefilled(&again), unfed.len(), "{execution}");
        backend.forget_prompts();
        assert_eq!(backend.known(unfed, execution), 0, "{execution}");
        assert_eq!(backend.prefilled(&row), unfed.len(), "a row that is open keeps what it has read");
    }
}

#[tokio::test]
async fn one_row_that_leaks_into_its_neighbour_in_one_step_is_found() {
    let folder = model_fixtures::root().join("models/llama-tied-f32");
    let sound = leaking_model(&folder, None).await;
    assert!(differing(&compare(&sound, &config(1), 1).await).is_empty());
    let leaking = leaking_model(&folder, Some(4)).await;
    let comparisons = compare(&leaking, &config(1), 1).await;
    assert_eq!(differing(&comparisons).len(), 1, "{comparisons:?}");
}

/// MLX's backend, of whose steps one goes wrong: there, the last row gets what the first one gave.
struct LeakingBackend {
    backend: MlxBackend,
    /// How many steps of several rows come before it; none leaks where absent.
    leaks_after: Option<u32>,
}

async fn leaking_model(folder: &Path, leaks_after: Option<u32>) -> LoadedModel {
    let files = ModelFiles::in_folder(folder).unwrap();
    let loader = move |_: &LoadCancel| {
        let backend = MlxBackend::load(&files).map_err(|error| error.to_string())?;
        let facts = backend.facts().clone();
        Ok::<_, String>((LeakingBackend { backend, leaks_after }, facts))
    };
    let (engine, facts) = engine::start(EngineSettings::default(), loader).await.unwrap();
    let text = TextModel::from_folder(folder).unwrap();
    LoadedModel::new(engine, text, ModelSource::Folder(folder.to_owned()), facts)
}

impl Backend for LeakingBackend {
    type Row = Row;
    type Step = MlxStep;

    fn open(&mut self, request: &SessionRequest, execution: Execution) -> Result<Row, BackendError> {
        self.backend.open(request, execution)
    }

    fn prefilled(&self, row: &Row) -> usize {
        self.backend.prefilled(row)
    }

    fn prefill(&mut self, row: &mut Row, limit: usize) -> Result<usize, BackendError> {
        self.backend.prefill(row, limit)
    }

    fn prompt_rules(&self, execution: Execution) -> PromptRules {
        self.backend.prompt_rules(execution)
    }

    fn known(&self, tokens: &[u32], execution: Execution) -> usize {
        self.backend.known(tokens, execution)
    }

    fn prefill_together(&mut self, rows: &mut [(&mut Row, usize)]) -> Result<Vec<usize>, BackendError> {
        self.backend.prefill_together(rows)
    }

    fn launch(&mut self, rows: &mut [&mut Row], execution: Execution) -> Result<MlxStep, BackendError> {
        self.backend.launch(rows, execution)
    }

    fn read(&mut self, step: MlxStep) -> Result<Vec<StepOutput>, BackendError> {
        let mut outputs = self.backend.read(step)?;
        if let ([first, .., last], Some(steps)) = (outputs.as_mut_slice(), &mut self.leaks_after) {
            if *steps == 0 {
                *last = *first;
                self.leaks_after = None;
            } else {
                *steps -= 1;
            }
        }
        Ok(outputs)
    }

    fn looks_ahead(&self) -> bool {
        self.backend.looks_ahead()
    }

    fn memory(&self) -> MemoryFigures {
        self.backend.memory()
    }

    fn reset_peak_memory(&mut self) {
        self.backend.reset_peak_memory();
    }

    fn forget_prompts(&mut self) {
        self.backend.forget_prompts();
    }

    fn free_unused(&mut self) {
        self.backend.free_unused();
    }

    fn set_cache_limit(&mut self, bytes: u64) -> Result<(), BackendError> {
        self.backend.set_cache_limit(bytes)
    }

    fn context_length(&self) -> u32 {
        self.backend.context_length()
    }
}
