//! A model that can't run is refused in one sentence that names the field or tensor, and nothing panics.

use crate::support::checkpoint::{Tensor, copy_of, edit_config, edit_tensors};
use llmeval::hub::ModelFiles;
use llmeval::model::{MlxBackend, check};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn refusal(folder: &Path) -> String {
    let files = ModelFiles::in_folder(folder).unwrap();
    let message = MlxBackend::load(&files).map(|_| ()).unwrap_err().to_string();
    assert_eq!(check(&files).unwrap_err().to_string(), message, "a look at the headers finds the same");
    assert!(!message.contains(".cpp"), "names C++ sources: {message}");
    assert!(!message.contains('\n'), "is more than one line: {message}");
    message
}

/// What is said about the tiny llama with other values in its config.json. Its weights can't be read, which shows that
/// the config is judged before them.
fn refusal_with_config(fields: Value) -> String {
    let copy = copy_of("llama-4bit-g64");
    edit_config(copy.path(), fields);
    std::fs::write(copy.path().join("model.safetensors"), b"no weights at all").unwrap();
    refusal(copy.path())
}

/// What is said about a tiny model with other tensors.
fn refusal_with_tensors(name: &str, edit: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
    let copy = copy_of(name);
    edit_tensors(copy.path(), edit);
    refusal(copy.path())
}

fn assert_names(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_the_known_ones() {
    let message = refusal_with_config(json!({ "model_type": "mamba" }));
    assert_names(&message, &["model_type", "mamba", "llama", "mistral", "qwen2", "qwen3"]);
    let message = refusal_with_config(json!({ "model_type": "lfm2", "layer_types": ["conv"], "hidden_size": null }));
    assert_names(&message, &["model_type", "lfm2"]);
}

#[test]
fn an_unknown_rope_scaling_is_refused_with_the_known_ones() {
    let message = refusal_with_config(json!({ "rope_scaling": { "type": "yarn", "factor": 4.0 } }));
    assert_names(&message, &["rope_scaling", "yarn", "default", "linear", "llama3"]);
}

#[test]
fn layers_with_a_window_are_refused_where_the_architecture_has_none() {
    let message = refusal_with_config(json!({ "layer_types": ["full_attention", "sliding_attention"] }));
    assert_names(&message, &["layer_types", "sliding_attention", "full_attention"]);
    let message = refusal_with_config(json!({ "use_sliding_window": true }));
    assert_names(&message, &["use_sliding_window", "true", "false"]);
}

#[test]
fn an_unknown_activation_is_refused_with_the_known_ones() {
    let message = refusal_with_config(json!({ "hidden_act": "relu2" }));
    assert_names(&message, &["hidden_act", "relu2", "silu"]);
}

#[test]
fn unsupported_quantisation_is_refused_with_what_is_supported() {
    let message = refusal_with_config(json!({ "quantization": { "bits": 7, "group_size": 64 } }));
    assert_names(&message, &["quantization.bits", "7", "2, 3, 4, 5, 6, 8"]);
    let message = refusal_with_config(json!({ "quantization": { "bits": 4, "group_size": 48 } }));
    assert_names(&message, &["quantization.group_size", "48", "32, 64, 128"]);
    let message = refusal_with_config(json!({ "quantization": { "bits": 4, "group_size": 32, "mode": "mxfp4" } }));
    assert_names(&message, &["quantization.mode", "mxfp4", "affine"]);
    let layer = json!({ "bits": 4, "group_size": 64, "model.layers.1.mlp.up_proj": { "bits": 1, "group_size": 64 } });
    let message = refusal_with_config(json!({ "quantization": layer }));
    assert_names(&message, &["model.layers.1.mlp.up_proj", "bits", "1", "2, 3, 4, 5, 6, 8"]);
}

#[test]
fn a_field_that_is_missing_or_makes_no_sense_is_named() {
    for (field, value) in [
        ("hidden_size", json!(null)),
        ("hidden_size", json!("wide")),
        ("vocab_size", json!(0)),
        ("num_hidden_layers", json!(-2)),
        ("num_attention_heads", json!(5_000_000_000_u64)),
        ("num_key_value_heads", json!(3)),
        ("rms_norm_eps", json!("small")),
        ("rope_theta", json!([])),
        ("tie_word_embeddings", json!("yes")),
        ("model_type", json!(7)),
        ("model_type", json!(null)),
    ] {
        assert_names(&refusal_with_config(json!({ field: value })), &[field, "config.json"]);
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let name = "model.layers.1.mlp.down_proj.weight";
    let message = refusal_with_tensors("llama-tied-f32", |tensors| drop(tensors.remove(name).unwrap()));
    assert_names(&message, &[name]);
}

#[test]
fn a_superfluous_tensor_is_named() {
    let message = refusal_with_tensors("llama-tied-f32", |tensors| {
        let norm = tensors["model.norm.weight"].clone();
        tensors.insert("model.layers.0.self_attn.q_norm.weight".into(), norm);
    });
    assert_names(&message, &["model.layers.0.self_attn.q_norm.weight", "llama"]);
}

#[test]
fn a_tensor_of_the_wrong_shape_is_named_with_both_shapes() {
    let name = "model.layers.0.self_attn.k_proj.weight";
    let message = refusal_with_tensors("llama-tied-f32", |tensors| {
        tensors.get_mut(name).unwrap().shape.reverse();
    });
    assert_names(&message, &[name, "[64, 32]", "[32, 64]"]);
}

#[test]
fn a_norm_of_the_wrong_length_is_named() {
    let message = refusal_with_tensors("llama-tied-f32", |tensors| {
        let norm = tensors.get_mut("model.norm.weight").unwrap();
        norm.shape = vec![32];
        norm.data.truncate(32 * 4);
    });
    assert_names(&message, &["model.norm.weight", "[32]", "[64]"]);
}

#[test]
fn packed_weights_without_their_scales_are_refused() {
    let message = refusal_with_tensors("llama-4bit-g64", |tensors| {
        tensors.remove("model.layers.0.mlp.up_proj.scales").unwrap();
    });
    assert_names(&message, &["model.layers.0.mlp.up_proj"]);
    let message = refusal_with_tensors("llama-4bit-g64", |tensors| {
        tensors.remove("model.layers.0.mlp.up_proj.biases").unwrap();
    });
    assert_names(&message, &["model.layers.0.mlp.up_proj.biases"]);
}

#[test]
fn packed_weights_that_contradict_the_config_are_refused() {
    let copy = copy_of("llama-4bit-g64");
    let path = copy.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["quantization"]["bits"] = json!(8);
    std::fs::write(&path, config.to_string()).unwrap();
    assert_names(&refusal(copy.path()), &["model.", "shape"]);

    config.as_object_mut().unwrap().remove("quantization");
    std::fs::write(&path, config.to_string()).unwrap();
    assert_names(&refusal(copy.path()), &["quantization", "scales"]);
}

#[test]
fn weights_of_the_wrong_type_are_named() {
    for (model, name) in [
        ("llama-4bit-g64", "model.layers.0.mlp.up_proj.weight"),
        ("llama-tied-f32", "model.layers.0.mlp.up_proj.weight"),
        ("llama-tied-f32", "model.norm.weight"),
    ] {
        let message = refusal_with_tensors(model, |tensors| {
            tensors.get_mut(name).unwrap().dtype = Dtype::I32;
        });
        assert_names(&message, &[name, "Int32"]);
    }
}
