//! A dense checkpoint is quantised to what mlx-lm's converter makes of it, on its way to a folder or into memory.

use crate::model_fixtures::root;
use llmeval::engine::EngineSettings;
use llmeval::evaluation::{LoadOptions, load_model_with};
use llmeval::hub::{FolderFiles, ModelFiles};
use llmeval::model::{MlxBackend, MlxOptions, Quantization, can_quantize, convert};
use llmeval::protocol::ModelSource;
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What mlx-lm made: its folder, its source, and how that was quantised.
struct Case {
    made: PathBuf,
    source: PathBuf,
    quantization: Quantization,
}

/// Every folder of tests/fixtures/converted that is named SOURCE-BITS-GROUP.
fn cases() -> Vec<Case> {
    let converted = root().join("converted");
    let folders = std::fs::read_dir(&converted).unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<Case> = folders
        .filter_map(|made| {
            let name = made.file_name()?.to_str()?.to_owned();
            let mut parts = name.rsplitn(3, '-');
            let (group_size, bits) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let source = parts.next()?;
            let own = converted.join(source);
            let source = if own.is_dir() { own } else { root().join("models").join(source) };
            Some(Case { made, source, quantization: Quantization::new(bits, group_size).unwrap() })
        })
        .collect();
    assert_eq!(cases.len(), 6);
    cases
}

fn source(folder: &Path) -> ModelFiles {
    ModelFiles::in_folder(folder).unwrap()
}

fn json(folder: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

/// Type, shape and bytes of each tensor, by name.
fn tensors(folder: &Path) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let entry = |name: &str| {
        let tensor = file.tensor(name).unwrap();
        (format!("{:?}", tensor.dtype()), tensor.shape().to_vec(), tensor.data().to_vec())
    };
    file.names().into_iter().map(|name| (name.to_owned(), entry(name))).collect()
}

#[test]
fn a_converted_folder_holds_what_mlx_lm_writes() {
    for case in cases() {
        let (scratch, name) = (TempDir::new().unwrap(), case.made.file_name().unwrap().to_owned());
        let target = scratch.path().join("made");
        let converted = convert(&source(&case.source), &target, case.quantization, &|_, _| true).unwrap();
        let (ours, theirs) = (tensors(&target), tensors(&case.made));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name:?}");
        for (tensor, value) in &theirs {
            assert!(ours[tensor] == *value, "{name:?}: {tensor} differs");
        }
        for file in ["config.json", FolderFiles::INDEX] {
            assert_eq!(json(&target, file), json(&case.made, file), "{name:?}: {file}");
        }
        assert_eq!(json(&target, FolderFiles::INDEX)["metadata"]["total_size"], converted.weight_bytes);
        for companion in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            let content = |folder: &Path| std::fs::read(folder.join(companion)).unwrap();
            assert_eq!(content(&target), content(&case.source), "{name:?}: {companion}");
        }
    }
}

#[test]
fn quantising_at_load_computes_what_the_converted_folder_computes() {
    let tokens: Vec<u32> = (0..12).map(|position| 40 + 17 * position % 200).collect();
    for case in cases() {
        let scratch = TempDir::new().unwrap();
        let target = scratch.path().join("made");
        convert(&source(&case.source), &target, case.quantization, &|_, _| true).unwrap();
        let stored = MlxBackend::load(&source(&target)).unwrap();
        let at_load =
            MlxBackend::load_unless(&source(&case.source), packed_to(Some(case.quantization)), &|| false).unwrap();
        let dense = MlxBackend::load(&source(&case.source)).unwrap();
        let logits = |model: &MlxBackend| model.prompt_logits(&tokens, usize::MAX).unwrap();
        assert_eq!(logits(&at_load), logits(&stored), "{:?}", case.made);
        assert_ne!(logits(&dense), logits(&stored), "{:?}: fewer bits must show", case.made);
        assert_eq!(at_load.facts().parameters, stored.facts().parameters);
    }
}

#[tokio::test]
async fn a_load_that_packs_dense_models_only_leaves_the_others_as_they_are() {
    let quantize = Some(Quantization::new(4, 32).unwrap());
    let options = LoadOptions { quantize, quantizes_if_dense: true, ..LoadOptions::default() };
    for (name, is_dense) in [("qwen3-bf16", true), ("qwen3-6bit-g64", false)] {
        let folder = root().join("models").join(name);
        assert_eq!(can_quantize(&source(&folder)).unwrap(), is_dense);
        let engine = EngineSettings::default();
        let model = load_model_with(ModelSource::Folder(folder.clone()), engine, options, |_| {}).await.unwrap();
        let expected =
            MlxBackend::load_unless(&source(&folder), packed_to(quantize.filter(|_| is_dense)), &|| false).unwrap();
        assert_eq!(model.summary().facts.weight_bytes, expected.facts().weight_bytes, "{name}");
        assert_eq!(model.summary().facts.packed_bits, is_dense.then_some(4), "{name}");
        model.engine().shutdown().await;
    }
    assert!(!can_quantize(&ModelFiles::gguf(&root().join("gguf/qwen3-q8_0/model.gguf")).unwrap()).unwrap());
}

#[test]
fn what_cannot_be_quantised_is_refused_in_words_and_nothing_is_written() {
    let scratch = TempDir::new().unwrap();
    let target = scratch.path().join("made");
    let four = Quantization::new(4, 64).unwrap();
    let refusal =
        |files: &ModelFiles, target: &Path| convert(files, target, four, &|_, _| true).unwrap_err().to_string();
    let packed = source(&root().join("models/llama-4bit-g64"));
    assert!(refusal(&packed, &target).contains("quantised already"));
    assert!(
        MlxBackend::load_unless(&packed, packed_to(Some(four)), &|| false).unwrap_err().to_string().contains("already")
    );
    let gguf = ModelFiles::gguf(&root().join("gguf/qwen3-q8_0/model.gguf")).unwrap();
    assert!(refusal(&gguf, &target).contains("GGUF"));
    assert!(MlxBackend::load_unless(&gguf, packed_to(Some(four)), &|| false).unwrap_err().to_string().contains("GGUF"));
    let dense = source(&root().join("models/llama-untied-bf16"));
    assert!(refusal(&dense, scratch.path()).contains("exists already"));
    assert!(!target.exists());
    assert!(Quantization::new(7, 64).unwrap_err().to_string().contains("2, 3, 4, 5, 6, 8"));
    assert!(Quantization::new(4, 48).unwrap_err().to_string().contains("32, 64, 128"));
}

#[test]
fn a_conversion_that_is_stopped_leaves_nothing_behind() {
    let scratch = TempDir::new().unwrap();
    let target = scratch.path().join("made");
    let dense = source(&root().join("models/llama-untied-bf16"));
    let stopped = convert(&dense, &target, Quantization::new(4, 64).unwrap(), &|done, _| done < 3);
    assert_eq!(stopped.unwrap_err().to_string(), "the load was stopped");
    assert!(!target.exists());
}

fn packed_to(quantize: Option<Quantization>) -> MlxOptions {
    MlxOptions { quantize, ..MlxOptions::default() }
}
