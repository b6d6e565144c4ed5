//! Reads the tiny models of tests/fixtures and what Python mlx-lm computed with them.

use llmeval::hub::ModelFiles;
use llmeval::model::{KernelChoice, MlxBackend, MlxOptions};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A tiny model and its expected answers.
pub struct Fixture {
    /// The folder's name.
    pub name: String,
    /// The model's files.
    pub files: ModelFiles,
    /// One for each prompt.
    pub cases: Vec<Case>,
}

/// What the model answers to one prompt.
pub struct Case {
    /// The prompt's ids.
    pub prompt_ids: Vec<u32>,
    /// The 32 most likely next ids, one after the other.
    pub greedy_ids: Vec<u32>,
    /// Steps, and the logits that they choose from; step 0's come from the prompt's last position.
    pub logits: Vec<(usize, Vec<f32>)>,
}

#[derive(Deserialize)]
struct Expected {
    logit_steps: Vec<usize>,
    cases: Vec<ExpectedCase>,
}

#[derive(Deserialize)]
struct ExpectedCase {
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
}

/// tests/fixtures.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Every tiny model, folders before GGUF files, in order of their names.
pub fn all() -> Vec<Fixture> {
    ["models", "gguf"].iter().flat_map(|kind| folders(&root().join(kind))).map(|folder| read(&folder)).collect()
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// The tiny model in `folder`.
pub fn read(folder: &Path) -> Fixture {
    let gguf = folder.join("model.gguf");
    let files = if gguf.exists() { ModelFiles::gguf(&gguf) } else { ModelFiles::in_folder(folder) };
    let expected: Expected = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let cases = expected.cases.into_iter().enumerate().map(|(index, case)| {
        let tensor = tensors.tensor(&format!("logits.{index}")).unwrap();
        let values: Vec<f32> =
            tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        let rows = values.chunks(tensor.shape()[1]).map(<[f32]>::to_vec);
        Case {
            prompt_ids: case.prompt_ids,
            greedy_ids: case.greedy_ids,
            logits: expected.logit_steps.iter().copied().zip(rows).collect(),
        }
    });
    Fixture {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        files: files.unwrap(),
        cases: cases.collect(),
    }
}

/// The kernels that serve here, and the reference: MLX's operations alone.
pub const KERNELS: [KernelChoice; 2] = [KernelChoice::Own, KernelChoice::Mlx];

/// A model served by some kernels.
pub fn load(files: &ModelFiles, kernels: KernelChoice) -> MlxBackend {
    let options = MlxOptions { kernels, ..MlxOptions::default() };
    MlxBackend::load_unless(files, options, &|| false).unwrap()
}

/// The largest difference between the model's logits and mlx-lm's, the expected ids being fed in chunks of `chunk`;
/// and the ids that the model would have chosen.
pub fn compare(model: &MlxBackend, case: &Case, chunk: usize) -> (f32, Vec<u32>) {
    let fed = [&case.prompt_ids[..], &case.greedy_ids[..case.greedy_ids.len() - 1]].concat();
    let rows = model.prompt_logits(&fed, chunk).unwrap();
    let answers = &rows[case.prompt_ids.len() - 1..];
    let differences = case.logits.iter().flat_map(|(step, expected)| {
        assert_eq!(expected.len(), answers[*step].len(), "the vocabulary's size");
        expected.iter().zip(&answers[*step]).map(|(left, right)| (left - right).abs())
    });
    // A NaN must not pass as a small difference.
    let largest = differences.fold(0.0, |largest: f32, now| if now <= largest { largest } else { now });
    let most_likely = |row: &Vec<f32>| {
        let best = row.iter().enumerate().max_by(|(_, left), (_, right)| left.total_cmp(right));
        best.unwrap().0 as u32
    };
    (largest, answers.iter().map(most_likely).collect())
}
