//! Layers with a sliding window don't see what lies before it, also where mlx-lm, which the tiny models come from, does.

use crate::model_fixtures::{KERNELS, load};
use crate::support::checkpoint::{copy_of, edit_config};
use llmeval::hub::ModelFiles;
use llmeval::model::{KernelChoice, MlxBackend};
use serde_json::{Value, json};

const WINDOW: usize = 8;
const LAYERS: usize = 2;

/// The tiny model with another `sliding_window`.
fn with_window(name: &str, window: Value, kernels: KernelChoice) -> MlxBackend {
    let copy = copy_of(name);
    edit_config(copy.path(), json!({ "sliding_window": window }));
    load(&ModelFiles::in_folder(copy.path()).unwrap(), kernels)
}

/// The positions at which the logits of both prompts, read in chunks, differ.
fn differing(models: [&MlxBackend; 2], prompts: [&[u32]; 2], chunk: usize) -> Vec<usize> {
    let [left, right] = [0, 1].map(|side| models[side].prompt_logits(prompts[side], chunk).unwrap());
    let differ = |position: &usize| left[*position].iter().zip(&right[*position]).any(|(a, b)| (a - b).abs() > 1e-3);
    (0..left.len()).filter(differ).collect()
}

fn prompt(start: u32) -> Vec<u32> {
    (0..40).map(|position| if position < 4 { start + position } else { 60 + position * 5 }).collect()
}

#[test]
fn a_token_before_all_windows_of_phi3_has_no_say() {
    KERNELS.into_iter().for_each(|kernels| no_token_before_all_windows_has_a_say("phi3-4bit-g64", kernels));
}

#[test]
fn a_token_before_all_windows_of_mistral_has_no_say() {
    KERNELS.into_iter().for_each(|kernels| no_token_before_all_windows_has_a_say("mistral-f32", kernels));
}

/// Of a model whose layers all have a window.
fn no_token_before_all_windows_has_a_say(name: &str, kernels: KernelChoice) {
    let windowed = with_window(name, json!(WINDOW), kernels);
    let open = with_window(name, Value::Null, kernels);
    let (one, other) = (prompt(10), prompt(20));
    // Each layer lets the last of the four differing tokens reach WINDOW − 1 positions further.
    let reach = 3 + LAYERS * (WINDOW - 1);
    for chunk in [usize::MAX, 7, 1] {
        assert_eq!(differing([&windowed, &windowed], [&one, &other], chunk), (0..=reach).collect::<Vec<_>>());
        assert_eq!(differing([&open, &open], [&one, &other], chunk), (0..40).collect::<Vec<_>>());
    }
}

#[test]
fn every_other_layer_of_gemma2_has_a_window() {
    for kernels in KERNELS {
        let windowed = with_window("gemma2-f16", json!(WINDOW), kernels);
        let open = with_window("gemma2-f16", json!(4096), kernels);
        let (one, other) = (prompt(10), prompt(20));
        for chunk in [usize::MAX, 7, 1] {
            assert_eq!(differing([&windowed, &open], [&one, &one], chunk), (WINDOW..40).collect::<Vec<_>>());
            // The layers without a window still see everything.
            assert_eq!(differing([&windowed, &windowed], [&one, &other], chunk), (0..40).collect::<Vec<_>>());
        }
    }
}
