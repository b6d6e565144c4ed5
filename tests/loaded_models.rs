//! Several loaded models in one process: their ids, and memory that counts all of them.

use crate::support::scripted::{Script, scripted_model};
use llmeval::protocol::{DeviceKind, Footprint, HeldMemory, MachineMemory, MemoryPrediction, ModelId, ParallelConfig};
use llmeval::session::{LoadedModel, Registry};

/// What `scripted_model` says of its weights and of one token in a KV cache.
const WEIGHTS: u64 = 4_000_000;
const TOKEN: u64 = 1000;

fn machine(available: u64) -> MachineMemory {
    MachineMemory { total: 16_000_000_000, available }
}

async fn model() -> LoadedModel {
    scripted_model(Script::default()).await.0
}

/// A run of so many sessions with a short prompt: each may give 952 tokens, 1000 with the template's.
fn config(sessions: u32) -> ParallelConfig {
    ParallelConfig { sessions, prompts: vec!["Hi".into()], max_tokens: 952, ..ParallelConfig::default() }
}

#[tokio::test]
async fn models_keep_their_ids_and_their_order_until_they_are_taken_out() {
    let mut registry = Registry::default();
    let first = registry.insert(model().await);
    let second = registry.insert(model().await);
    assert_eq!((first.as_str(), second.as_str()), ("qwen3-f32", "qwen3-f32 (2)"), "no two models have one id");
    assert_eq!(registry.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [first.clone(), second.clone()]);
    assert!(registry.remove(&first).is_some());
    assert!(registry.get(&first).is_none() && registry.get(&second).is_some());
    assert!(registry.remove(&first).is_none(), "it is gone already");
    assert_eq!(registry.insert(model().await), first, "a name that is free again is given again");
}

#[tokio::test]
async fn a_run_is_predicted_beside_the_other_models_and_their_runs() {
    let mut registry = Registry::default();
    let first = registry.insert(model().await);
    let alone = registry.predict_run(&first, &config(2), machine(10_000_000)).unwrap();
    let facts = &registry.get(&first).unwrap().summary().facts;
    assert_eq!(alone, MemoryPrediction::of(&config(2), facts, machine(10_000_000)), "one model is today's case");
    let second = registry.insert(model().await);
    let beside = registry.predict_run(&first, &config(2), machine(10_000_000)).unwrap();
    assert_eq!((beside.weights, beside.held), (WEIGHTS, WEIGHTS));
    assert_eq!(beside.there, 10_000_000 + 2 * WEIGHTS, "what is loaded is no part of what is available");
    assert!(beside.fits());

    // Each run alone fits what is available; both together don't.
    let large = registry.predict_run(&second, &config(8), machine(10_000_000)).unwrap();
    assert!(large.fits() && large.kv_caches == 8 * 1000 * TOKEN);
    let promise = registry.promise(&second, &large).unwrap();
    let refused = registry.predict_run(&first, &config(3), machine(10_000_000)).unwrap();
    let words = refused.refusal(3).unwrap();
    assert!(words.starts_with(
        "This run needs 19.0 MB (weights 4.0 MB + 3 KV caches 3.0 MB + other models and runs 12.0 MB), and 18.0 MB are"
    ));
    assert!(words.contains("unload another model"), "{words}");
    drop(promise);
    assert!(registry.predict_run(&first, &config(3), machine(10_000_000)).unwrap().fits(), "the other run has ended");
    assert!(registry.predict_run(&ModelId::new("no such model"), &config(1), machine(0)).is_none());
}

#[tokio::test]
async fn a_load_is_predicted_beside_all_that_is_loaded() {
    let footprint = Footprint {
        parameters: 20_000_000,
        weight_bytes: 10_000_000,
        kv_elements_per_token: 500,
        context_length: 1000,
    };
    let mut registry = Registry::default();
    let alone = registry.predict_load(&footprint, DeviceKind::Gpu, machine(11_000_000));
    assert_eq!((alone.weights, alone.kv_caches, alone.needed()), (10_000_000, 1_000_000, 11_000_000));
    assert!(alone.load_refusal("large").is_none());
    let id = registry.insert(model().await);
    assert!(registry.predict_load(&footprint, DeviceKind::Gpu, machine(11_000_000)).fits());
    let run = registry.predict_run(&id, &config(1), machine(11_000_000)).unwrap();
    let _promise = registry.promise(&id, &run).unwrap();
    assert_eq!(
        registry.predict_load(&footprint, DeviceKind::Gpu, machine(11_000_000)).load_refusal("large").unwrap(),
        "large needs 16.0 MB (weights 10.0 MB + one KV cache 1.0 MB + other models and runs 5.0 MB), and 15.0 MB are \
         there. Unload another model first."
    );
}

#[test]
fn caches_that_are_filled_already_are_not_counted_twice() {
    let alone = MemoryPrediction { weights: 1000, kv_caches: 100, held: 0, there: 1500 };
    let held = |filled| HeldMemory { weights: 2000, kv_caches: 600, filled };
    assert!(!alone.beside(held(0)).fits(), "100 more fit beside 600 to come only where 700 are available");
    assert!(alone.beside(held(200)).fits(), "of the 600 these 200 are gone from what is available");
    assert_eq!(alone.beside(held(5000)).there, 1500 + 2000 + 600, "no run fills more than it was promised");
}
