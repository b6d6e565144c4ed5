//! What a model is, from its configuration and headers alone.

use super::config_json::{Dimensions, Fields};
use super::gguf::{Gguf, GgufValue};
use super::safetensors::{TensorIndex, read_tensor_index};
use super::{FolderFiles, HubError, ModelFiles, read_json};
use crate::protocol::{Footprint, ModelCard};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads configuration and headers of a model on this machine.
pub fn inspect(files: &ModelFiles) -> Result<ModelCard, HubError> {
    match files {
        ModelFiles::Folder(folder) => inspect_folder(folder),
        ModelFiles::Gguf(path) => inspect_gguf(&Gguf::open(path)?),
    }
}

#[derive(Deserialize)]
struct Quantization {
    bits: u64,
    group_size: u64,
}

/// A model's parts that the card is made from.
pub(super) struct Parts {
    pub(super) config: Fields,
    pub(super) dimensions: Dimensions,
    pub(super) tensors: TensorIndex,
    pub(super) chat_template: Option<String>,
}

impl Parts {
    pub(super) fn card(self) -> Result<ModelCard, HubError> {
        let dimensions = self.dimensions;
        let wrong = |error: serde_json::Error| self.config.problem(format!("quantization: {error}"));
        let quantization = Option::<Quantization>::deserialize(self.config.get("quantization")).map_err(wrong)?;
        let [layers, kv_heads, head_dim] =
            [dimensions.num_hidden_layers, dimensions.num_key_value_heads, dimensions.head_dim].map(|size| size as u64);
        let footprint = Footprint {
            parameters: parameters(&self.tensors, quantization.as_ref()),
            weight_bytes: self.tensors.values().map(|tensor| tensor.bytes).sum(),
            kv_elements_per_token: 2 * layers * kv_heads * head_dim,
            context_length: dimensions.max_position_embeddings.into(),
        };
        let dense = prevalent(self.tensors.values().map(|tensor| (format!("{:?}", tensor.dtype), tensor.bytes)));
        Ok(ModelCard {
            architecture: dimensions.model_type,
            quantization: quantization.map_or(dense, |quantization| {
                format!("{} bits, groups of {}", quantization.bits, quantization.group_size)
            }),
            has_chat_template: self.chat_template.is_some(),
            can_think: self.chat_template.is_some_and(|template| template.contains("enable_thinking")),
            footprint,
            config: self.config.object().clone(),
        })
    }
}

/// Counts weights as if they were not quantised: a quantised one has a scale for each group of weights.
fn parameters(tensors: &TensorIndex, quantization: Option<&Quantization>) -> u64 {
    let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    tensors
        .iter()
        .map(|(name, tensor)| match (name.rsplit_once('.'), quantization) {
            (Some((_, "scales")), Some(quantization)) => elements(&tensor.shape) * quantization.group_size,
            (Some((module, "weight" | "biases")), _) if tensors.contains_key(&format!("{module}.scales")) => 0,
            _ => elements(&tensor.shape),
        })
        .sum()
}

/// The type that takes most bytes: a model's norms, and often its embedding, are wider than the rest.
fn prevalent(types: impl Iterator<Item = (String, u64)>) -> String {
    let mut bytes = BTreeMap::new();
    for (kind, size) in types {
        *bytes.entry(kind).or_insert(0) += size;
    }
    bytes.into_iter().max_by_key(|(_, size)| *size).map_or_else(|| "none".to_owned(), |(kind, _)| kind)
}

fn inspect_folder(files: &FolderFiles) -> Result<ModelCard, HubError> {
    let chat_template = match &files.chat_template {
        Some(path) if path.extension().is_some_and(|extension| extension == "jinja") => {
            Some(std::fs::read_to_string(path).map_err(HubError::io("read", path))?)
        }
        Some(path) => template_of(&read_json(path)?),
        None => files.tokenizer_config.as_deref().map(read_json).transpose()?.as_ref().and_then(template_of),
    };
    let config = Fields::new(&files.config, read_json(&files.config)?);
    let dimensions = Dimensions::new(&config)?;
    Parts { config, dimensions, tensors: read_tensor_index(files)?, chat_template }.card()
}

/// The `chat_template` of tokenizer_config.json or chat_template.json: a text, or a list of named ones.
pub(super) fn template_of(json: &Value) -> Option<String> {
    match json.get("chat_template")? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        named => Some(named.to_string()),
    }
}

fn inspect_gguf(file: &Gguf) -> Result<ModelCard, HubError> {
    let architecture = file.require("general.architecture", GgufValue::as_text)?;
    let number = |key: &str| file.require(&format!("{architecture}.{key}"), GgufValue::as_unsigned);
    let heads = number("attention.head_count")?.max(1);
    let found = |key: &str| file.find(&format!("{architecture}.{key}"), GgufValue::as_unsigned);
    let head_dim = found("attention.key_length")?.unwrap_or(number("embedding_length")? / heads);
    let kv_heads = found("attention.head_count_kv")?.unwrap_or(heads);
    let tensors = file.tensors();
    let chat_template = file.find("tokenizer.chat_template", GgufValue::as_text)?;
    Ok(ModelCard {
        architecture: architecture.to_owned(),
        quantization: prevalent(tensors.values().map(|tensor| (tensor.kind.name().to_owned(), tensor.bytes()))),
        has_chat_template: chat_template.is_some(),
        can_think: chat_template.is_some_and(|template| template.contains("enable_thinking")),
        footprint: Footprint {
            parameters: tensors.values().map(|tensor| tensor.elements()).sum(),
            weight_bytes: tensors.values().map(|tensor| tensor.bytes()).sum(),
            kv_elements_per_token: 2 * number("block_count")? * kv_heads * head_dim,
            context_length: number("context_length")?,
        },
        config: Value::Null,
    })
}
