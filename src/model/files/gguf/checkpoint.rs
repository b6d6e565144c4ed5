//! A GGUF in the terms of config.json and of the mlx-community checkpoints.

use super::super::config::RopeScaling;
use super::conversion::{Conversion, FIELDS};
use super::ggml;
use crate::hub::config_json::Fields;
use crate::hub::gguf::{Gguf, GgufValue};
use crate::model::ModelError;
use crate::model::ops::scalar;
use mlx_rs::io::GgufFile;
use mlx_rs::{Array, Dtype};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// MLX unpacks every quantised GGUF type into groups of this size.
pub const GROUP_SIZE: i32 = 32;

/// The metadata as config.json would say it.
pub fn config(gguf: &Gguf) -> Result<Fields, ModelError> {
    let conversion = Conversion::of(gguf)?;
    let architecture = conversion.architecture;
    let mut object = Map::new();
    object.insert("model_type".into(), json!(conversion.model_type));
    object.insert("tie_word_embeddings".into(), json!(!gguf.tensors().contains_key("output.weight")));
    let vocabulary = gguf.require("tokenizer.ggml.tokens", GgufValue::as_texts)?.len();
    object.insert("vocab_size".into(), json!(vocabulary));
    let has_bias = |name: &str| gguf.tensors().contains_key(&format!("blk.0.{name}.bias"));
    object.insert("attention_bias".into(), json!(has_bias("attn_q")));
    object.insert("mlp_bias".into(), json!(has_bias("ffn_up")));
    // llama.cpp knows Qwen's experts only with shares that sum to 1.
    object.insert("norm_topk_prob".into(), json!(true));
    for (key, field) in FIELDS {
        let number =
            |value: &GgufValue| value.as_unsigned().map(Value::from).or_else(|| value.as_float().map(Value::from));
        if let Some(number) = gguf.find(&format!("{architecture}.{key}"), number)? {
            object.insert((*field).into(), number);
        }
    }
    add_derived_fields(architecture, &mut object);
    if let Some(kind) = gguf.find(&format!("{architecture}.rope.scaling.type"), GgufValue::as_text)? {
        let factor = gguf.find(&format!("{architecture}.rope.scaling.factor"), GgufValue::as_float)?;
        match kind {
            // The factors of longrope are tensors.
            "none" | "longrope" => {}
            "linear" => {
                object.insert("rope_scaling".into(), json!({ "rope_type": "linear", "factor": factor.unwrap_or(1.0) }));
            }
            other => {
                let supported = "none, linear, longrope";
                return Err(ModelError::unsupported(&format!("{architecture}.rope.scaling.type"), other, supported));
            }
        }
    }
    Ok(Fields::new(gguf.path(), Value::Object(object)))
}

/// Fields that config.json has and the metadata only implies.
fn add_derived_fields(architecture: &str, object: &mut Map<String, Value>) {
    let number = |field: &str| object.get(field).and_then(Value::as_f64);
    let usual_head = number("hidden_size").zip(number("num_attention_heads")).map(|(hidden, heads)| hidden / heads);
    let head_dim = number("head_dim").or(usual_head);
    // As llama.cpp does: Gemma's 27B models, told by their depth, scale by the usual head's width instead of their own.
    let is_27b = matches!((architecture, number("num_hidden_layers")), ("gemma2", Some(46.0)) | ("gemma3", Some(62.0)));
    let scalar = if is_27b { usual_head } else { head_dim };
    let rotated = number("rope.dimension_count").zip(head_dim).map(|(rotated, head_dim)| rotated / head_dim);
    if let Some(scalar) = scalar {
        object.insert("query_pre_attn_scalar".into(), json!(scalar));
    }
    if let Some(rotated) = rotated {
        object.insert("partial_rotary_factor".into(), json!(rotated));
    }
}

/// The tensors under their checkpoint names, and the scaling of the rotary embedding where the file carries it.
pub fn tensors(gguf: &Gguf) -> Result<(HashMap<String, Array>, Option<RopeScaling>), ModelError> {
    let conversion = Conversion::of(gguf)?;
    let raw = if gguf.is_native() { read_native(gguf)? } else { read_unpacked(gguf)? };
    let mut tensors = HashMap::with_capacity(raw.len());
    let mut scaling = None;
    let count = |key: &str| gguf.find(&format!("{}.attention.{key}", conversion.architecture), GgufValue::as_unsigned);
    let heads = count("head_count")?.unwrap_or(1);
    let kv_heads = count("head_count_kv")?.unwrap_or(heads);
    for (name, array) in raw {
        match name.as_str() {
            "rope_freqs.weight" | "rope_factors_long.weight" => {
                let factors = array.as_dtype(Dtype::Float32)?;
                let factors = factors.to_vec_exact::<f32>().map_err(|error| device_error(&error))?;
                let key = format!("{}.rope.scaling.attn_factor", conversion.architecture);
                let amplitude = gguf.find(&key, GgufValue::as_float)?.unwrap_or(1.0) as f32;
                scaling = Some(RopeScaling::Factors { factors, amplitude });
            }
            "rope_factors_short.weight" => {}
            rotated if conversion.interleaves_rotated_pairs && is_rotated(rotated) => {
                let heads = if rotated.contains("attn_q.") { heads } else { kv_heads };
                tensors.insert(conversion.checkpoint_name(&name).unwrap_or(name), with_halves(&array, heads)?);
            }
            norm if conversion.norms_hold_one_more && norm.ends_with("norm.weight") => {
                let stored = array.subtract(scalar(1.0, &array)?)?;
                tensors.insert(conversion.checkpoint_name(&name).unwrap_or(name), stored);
            }
            _ => {
                tensors.insert(conversion.checkpoint_name(&name).unwrap_or(name), array);
            }
        }
    }
    Ok((tensors, scaling))
}

/// Whether a tensor gives queries or keys.
fn is_rotated(name: &str) -> bool {
    name.contains(".attn_q.") || name.contains(".attn_k.")
}

/// The rows of each head with the first dimension of every pair in the head's first half and the second one in its
/// second half, as checkpoints have them and as they rotate fastest; here they are neighbours.
fn with_halves(array: &Array, heads: u64) -> Result<Array, ModelError> {
    let shape = array.shape().to_vec();
    let heads = i32::try_from(heads).unwrap_or(1).max(1);
    if shape.first().is_none_or(|rows| rows % (2 * heads) != 0) {
        // Its shape is refused where it is taken.
        return Ok(array.clone());
    }
    let pairs = array.reshape(&[heads, shape[0] / heads / 2, 2, -1])?;
    Ok(pairs.swap_axes(1, 2)?.reshape(&shape)?)
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
