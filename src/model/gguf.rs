//! A GGUF in the terms of config.json and of the mlx-community checkpoints.

use super::ModelError;
use super::config::{Fields, RopeScaling, unsupported};
use super::ggml;
use crate::hub::gguf::{Gguf, GgufValue};
use mlx_rs::io::GgufFile;
use mlx_rs::{Array, Dtype};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// MLX unpacks every quantised GGUF type into groups of this size.
pub const GROUP_SIZE: i32 = 32;

/// Names of a layer's modules: GGUF's, then the checkpoint's.
const LAYER_MODULES: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The metadata as config.json would say it.
pub fn config(gguf: &Gguf) -> Result<Fields, ModelError> {
    let architecture = gguf.require("general.architecture", GgufValue::as_text)?;
    // llama.cpp's converter interleaves the rotated pairs of llama's queries and keys, and of no other's.
    let traditional = match architecture {
        "llama" => true,
        "qwen2" | "qwen3" => false,
        other => return Err(unsupported("general.architecture", other, "llama, qwen2, qwen3")),
    };
    let mut object = Map::new();
    object.insert("model_type".into(), json!(architecture));
    object.insert("rope_traditional".into(), json!(traditional));
    object.insert("tie_word_embeddings".into(), json!(!gguf.tensors().contains_key("output.weight")));
    let vocabulary = gguf.require("tokenizer.ggml.tokens", GgufValue::as_texts)?.len();
    object.insert("vocab_size".into(), json!(vocabulary));
    let has_bias = |name: &str| gguf.tensors().contains_key(&format!("blk.0.{name}.bias"));
    object.insert("attention_bias".into(), json!(has_bias("attn_q")));
    object.insert("mlp_bias".into(), json!(has_bias("ffn_up")));
    for (key, field) in [
        ("embedding_length", "hidden_size"),
        ("block_count", "num_hidden_layers"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.key_length", "head_dim"),
        ("context_length", "max_position_embeddings"),
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("rope.freq_base", "rope_theta"),
    ] {
        let number =
            |value: &GgufValue| value.as_unsigned().map(Value::from).or_else(|| value.as_float().map(Value::from));
        if let Some(number) = gguf.find(&format!("{architecture}.{key}"), number)? {
            object.insert(field.into(), number);
        }
    }
    if let Some(kind) = gguf.find(&format!("{architecture}.rope.scaling.type"), GgufValue::as_text)? {
        let factor = gguf.find(&format!("{architecture}.rope.scaling.factor"), GgufValue::as_float)?;
        match kind {
            "none" => {}
            "linear" => {
                object.insert("rope_scaling".into(), json!({ "rope_type": "linear", "factor": factor.unwrap_or(1.0) }));
            }
            other => return Err(unsupported(&format!("{architecture}.rope.scaling.type"), other, "none, linear")),
        }
    }
    Ok(Fields::new(gguf.path(), Value::Object(object)))
}

/// The tensors under their checkpoint names, and the scaling of the rotary embedding where the file carries it.
pub fn tensors(gguf: &Gguf) -> Result<(HashMap<String, Array>, Option<RopeScaling>), ModelError> {
    let raw = if gguf.is_native() { read_native(gguf)? } else { read_unpacked(gguf)? };
    let mut tensors = HashMap::with_capacity(raw.len());
    let mut scaling = None;
    for (name, array) in raw {
        if name == "rope_freqs.weight" {
            let factors = array.as_dtype(Dtype::Float32)?;
            let factors = factors.to_vec_exact::<f32>().map_err(|error| device_error(&error))?;
            scaling = Some(RopeScaling::Factors { factors, amplitude: 1.0 });
        } else {
            tensors.insert(checkpoint_name(&name).unwrap_or(name), array);
        }
    }
    Ok((tensors, scaling))
}

/// By MLX, which keeps packed tensors packed.
fn read_native(gguf: &Gguf) -> Result<Vec<(String, Array)>, ModelError> {
    let file = GgufFile::load(gguf.path()).map_err(|_| changed(gguf))?;
    let keys = file.array_keys().map_err(|error| device_error(&error))?;
    let arrays = keys.into_iter().map(|key| {
        let array = file.get_array(&key).map_err(|error| device_error(&error))?;
        Ok(array.map(|array| (key, array)))
    });
    arrays.filter_map(Result::transpose).collect()
}

/// Tensor by tensor, each unpacked to f32; `Weights` brings it to the type that the device computes in.
fn read_unpacked(gguf: &Gguf) -> Result<Vec<(String, Array)>, ModelError> {
    let mut file = File::open(gguf.path()).map_err(|_| changed(gguf))?;
    let mut arrays = Vec::with_capacity(gguf.tensors().len());
    for (name, tensor) in gguf.tensors() {
        let mut bytes = vec![0; tensor.bytes() as usize];
        file.seek(SeekFrom::Start(gguf.place(tensor).start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|_| changed(gguf))?;
        let values = ggml::unpack(tensor.kind, &bytes).ok_or_else(|| changed(gguf))?;
        let shape = tensor.shape.iter().map(|axis| i32::try_from(*axis)).collect::<Result<Vec<_>, _>>();
        arrays.push((name.clone(), Array::from_slice(&values, &shape.map_err(|_| changed(gguf))?)));
    }
    Ok(arrays)
}

fn changed(gguf: &Gguf) -> ModelError {
    ModelError::Config {
        file: gguf.path().to_owned(),
        problem: "it can't be read; it may have changed since it was checked".into(),
    }
}

fn device_error(error: &dyn std::error::Error) -> ModelError {
    ModelError::Device(crate::engine::BackendError(format!("MLX could not read a tensor: {error}")))
}

/// "blk.3.attn_q.scales" → "model.layers.3.self_attn.q_proj.scales".
fn checkpoint_name(name: &str) -> Option<String> {
    let (module, part) = name.rsplit_once('.')?;
    let module = match module {
        "token_embd" => "model.embed_tokens".to_owned(),
        "output_norm" => "model.norm".to_owned(),
        "output" => "lm_head".to_owned(),
        layer => {
            let (index, module) = layer.strip_prefix("blk.")?.split_once('.')?;
            let (_, checkpoint) = LAYER_MODULES.iter().find(|(gguf, _)| *gguf == module)?;
            format!("model.layers.{index}.{checkpoint}")
        }
    };
    Some(format!("{module}.{part}"))
}
