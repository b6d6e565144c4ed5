//! The models that a person can choose: the registry, what is here of them, what fits, and what a model's files say.

use crate::local_hub::{Fault, ID, LISTING, LocalHub};
use llmeval::hub::{Hub, HubSettings, Machine, ModelFiles, extra_stop_tokens, inspect, registry, sampling_defaults};
use llmeval::model::supported_architectures;
use llmeval::protocol::{
    DeviceKind, ListedModel, MEMORY_TOKENS, ModelSource, OnDisk, RegistryEntry, Sampling, SamplingDefaults,
};
use llmeval::state::Settings;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const MACHINE: Machine = Machine { device: DeviceKind::Gpu, memory_bytes: 16_000_000_000 };

fn entry(id: &str) -> RegistryEntry {
    registry().into_iter().find(|entry| entry.id == id).unwrap_or_else(|| panic!("{id} is not in the registry"))
}

fn hub(cache: &Path, endpoint: Option<&str>) -> Hub {
    Hub::new(HubSettings {
        endpoint: endpoint.map(str::to_owned),
        cache: Some(cache.to_owned()),
        token: None,
        kept_token: || None,
        offline: endpoint.is_none(),
        first_retry: Duration::from_millis(1),
        free_bytes: |_| Ok(u64::MAX),
    })
    .unwrap()
}

#[test]
fn every_entry_is_sound() {
    let entries = registry();
    assert!(entries.len() > 15);
    assert_eq!(entries[0].source(), ModelSource::Starter, "the default comes first");
    let ids: BTreeSet<_> = entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(ids.len(), entries.len(), "no model comes twice");
    for entry in &entries {
        let id = &entry.id;
        assert!(matches!(entry.source(), ModelSource::Starter | ModelSource::Hub(_)), "{id}");
        assert!(supported_architectures().any(|supported| supported == entry.architecture), "{id}");
        let sampling = entry.sampling;
        Sampling::new(
            sampling.temperature.unwrap_or(0.7),
            sampling.top_p.unwrap_or(1.0),
            sampling.top_k.unwrap_or(0),
            sampling.min_p.unwrap_or(0.0),
            sampling.repetition_penalty.unwrap_or(1.0),
            0,
        )
        .unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(entry.download_bytes > entry.weight_bytes, "{id}: tokenizer and configuration come along");
        // 4 bits, and scale and bias of 16 bits for each group of 64: 4.5 bits. The starter keeps some weights wider.
        let bits = entry.weight_bytes as f64 * 8.0 / entry.parameters as f64;
        assert!((4.5..5.8).contains(&bits), "{id}: {bits} bits a weight");
    }
}

#[test]
fn the_seeds_default_and_its_figures_are_there() {
    let qwen = entry("mlx-community/Qwen3-1.7B-4bit");
    assert_eq!((qwen.parameters, qwen.can_think), (1_720_574_976, true));
    let footprint = qwen.footprint();
    assert_eq!(footprint.kv_elements_per_token, 57_344);
    let one = footprint.bytes(1, MEMORY_TOKENS, DeviceKind::Gpu);
    let eight = footprint.bytes(8, MEMORY_TOKENS, DeviceKind::Gpu);
    assert_eq!(one, qwen.weight_bytes + 57_344 * 2 * 4096);
    assert_eq!(eight - one, 7 * 57_344 * 2 * 4096, "weights are there once");
    let on_cpu = footprint.bytes(1, MEMORY_TOKENS, DeviceKind::Cpu);
    assert_eq!(on_cpu, qwen.parameters * 4 + 57_344 * 4 * 4096, "a CPU computes in f32");
}

#[test]
fn stop_tokens_that_a_models_files_lack_come_from_the_registry() {
    let phi = ModelSource::Hub("mlx-community/Phi-3.5-mini-instruct-4bit".into());
    assert_eq!(extra_stop_tokens(&phi), ["<|end|>"]);
    assert!(extra_stop_tokens(&ModelSource::Hub(ID.into())).is_empty());
}

#[test]
fn what_a_models_makers_advise_is_told_in_words() {
    let advised = |id: &str| sampling_defaults(&ModelSource::Hub(id.into())).words();
    assert_eq!(advised("mlx-community/Qwen3-0.6B-4bit").as_deref(), Some("temperature 0.6, top-p 0.95, top-k 20"));
    assert_eq!(advised("mlx-community/Mistral-Nemo-Instruct-2407-4bit").as_deref(), Some("temperature 0.3"));
    assert_eq!(advised("mlx-community/gemma-2-2b-it-4bit"), None, "its makers advise nothing");
    assert_eq!(advised(ID), None);
}

#[test]
fn settings_follow_a_models_advice_but_for_what_a_person_chose() {
    let qwen = sampling_defaults(&ModelSource::Hub("mlx-community/Qwen3-0.6B-4bit".into()));
    let mut settings = Settings::default();
    settings.parallel.min_p = 0.1;
    let changes = settings.take_advice(qwen).unwrap();
    assert_eq!(changes, "temperature 0.6, top-p 0.95, top-k 20");
    assert_eq!((settings.parallel.temperature, settings.parallel.top_p, settings.parallel.top_k), (0.6, 0.95, 20));
    assert_eq!(settings.parallel.min_p, 0.1);
    assert_eq!(settings.take_advice(qwen), None, "the same model again changes nothing");

    settings.parallel.temperature = 1.5;
    assert_eq!(settings.take_advice(SamplingDefaults::default()), None, "nothing is advised");
    assert_eq!((settings.parallel.temperature, settings.parallel.top_p, settings.parallel.top_k), (1.5, 1.0, 0));
}

#[test]
fn a_card_of_a_gguf_file_comes_from_its_header() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf/qwen3-q8_0/model.gguf");
    let card = inspect(&ModelFiles::Gguf(path)).unwrap();
    assert_eq!((card.architecture.as_str(), card.quantization.as_str()), ("qwen3", "Q8_0"));
    assert!(card.has_chat_template && !card.can_think);
    assert!(card.footprint.parameters > 0 && card.footprint.context_length > 0);
}

#[test]
fn a_list_is_filtered_by_words_in_any_case_and_order() {
    let cache = TempDir::new().unwrap();
    let models = hub(cache.path(), None).models(MACHINE);
    let named = |query: &str| -> Vec<String> {
        models.iter().filter(|model| model.matches(query)).map(|model| model.source.to_string()).collect()
    };
    assert_eq!(named("qwen3 1.7b"), ["mlx-community/Qwen3-1.7B-4bit"]);
    assert_eq!(named("1.7B QWEN3"), named("qwen3 1.7b"));
    assert_eq!(named("").len(), models.len());
    assert!(named("no such model").is_empty());
}

#[test]
fn what_fits_depends_on_the_machine() {
    let cache = TempDir::new().unwrap();
    let hub = hub(cache.path(), None);
    let fits = |memory_bytes: u64, device: DeviceKind, id: &str| {
        let models = hub.models(Machine { device, memory_bytes });
        models.into_iter().find(|model| model.source.to_string() == id).unwrap().fits.unwrap()
    };
    let large = "mlx-community/Qwen3-30B-A3B-4bit";
    assert!(!fits(16_000_000_000, DeviceKind::Gpu, large));
    assert!(fits(32_000_000_000, DeviceKind::Gpu, large));
    let middle = "mlx-community/Qwen3-4B-4bit";
    assert!(fits(16_000_000_000, DeviceKind::Gpu, middle));
    assert!(!fits(16_000_000_000, DeviceKind::Cpu, middle), "f32 weights take eight times the room");
    assert!(Machine::detect(DeviceKind::Cpu).memory_bytes > 0);
}

/// A repository whose shard is a real one: one quantised projection, one norm.
fn repository() -> BTreeMap<String, Vec<u8>> {
    let (packed, groups, norm) = (vec![0; 64 * 8 * 4], vec![0; 64 * 2], vec![0; 64 * 2]);
    let tensors = [
        ("layer.weight", TensorView::new(Dtype::U32, vec![64, 8], &packed).unwrap()),
        ("layer.scales", TensorView::new(Dtype::BF16, vec![64, 1], &groups).unwrap()),
        ("layer.biases", TensorView::new(Dtype::BF16, vec![64, 1], &groups).unwrap()),
        ("norm.weight", TensorView::new(Dtype::BF16, vec![64], &norm).unwrap()),
    ];
    let config = serde_json::json!({
        "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 1000,
        "quantization": {"bits": 4, "group_size": 64},
    });
    BTreeMap::from([
        ("config.json".into(), config.to_string().into_bytes()),
        ("tokenizer.json".into(), b"{}".to_vec()),
        ("tokenizer_config.json".into(), br#"{"chat_template": "{% if enable_thinking %}"}"#.to_vec()),
        ("model.safetensors".into(), safetensors::serialize(tensors, None).unwrap()),
    ])
}

#[tokio::test]
async fn a_card_says_the_same_before_and_after_the_download() {
    let (server, cache) = (LocalHub::start(repository()), TempDir::new().unwrap());
    let hub = hub(cache.path(), Some(&server.endpoint));
    server.fail(LISTING, [Fault::Status(500)]);
    let before = hub.peek(ID).await.unwrap();
    assert!(hub.cached_ids().is_empty(), "a look leaves nothing behind");
    assert_eq!((before.architecture.as_str(), before.quantization.as_str()), ("qwen3", "4 bits, groups of 64"));
    assert!(before.has_chat_template && before.can_think);
    let footprint = before.footprint;
    assert_eq!((footprint.parameters, footprint.context_length), (64 * 64 + 64, 1000));
    assert_eq!((footprint.kv_elements_per_token, footprint.weight_bytes), (2 * 2 * 2 * 32, 2048 + 3 * 128));

    let files = hub.pull(ID, |_| ()).await.unwrap();
    assert_eq!(inspect(&files).unwrap(), before);
}

#[tokio::test]
async fn models_of_the_cache_are_listed_with_what_is_here_of_them() {
    let (server, cache) = (LocalHub::start(repository()), TempDir::new().unwrap());
    let hub = hub(cache.path(), Some(&server.endpoint));
    let listed = || -> Option<ListedModel> {
        hub.models(MACHINE).into_iter().find(|model| model.source == ModelSource::Hub(ID.into()))
    };
    assert_eq!(listed(), None);
    server.fail("model.safetensors", vec![Fault::Cut(100); 20].into_iter().chain(vec![Fault::Cut(0); 5]));
    hub.pull(ID, |_| ()).await.unwrap_err();
    let partly = listed().expect("a stopped download is listed");
    assert!(matches!(partly.on_disk, OnDisk::Partly { bytes: 100.. }), "{:?}", partly.on_disk);

    hub.pull(ID, |_| ()).await.unwrap();
    let whole = listed().unwrap();
    assert!(matches!(whole.on_disk, OnDisk::Whole { .. }));
    assert_eq!((whole.entry, whole.parameters, whole.fits), (None, Some(64 * 64 + 64), Some(true)));
}
