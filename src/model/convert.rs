//! Writes a dense checkpoint as a quantised one in the mlx-community layout: the same tensors, config.json and index
//! that mlx-lm's converter writes.

use super::device::Compute;
use super::files::Quantizer;
use super::load::{open_folder, take_all};
use super::{ModelError, Quantization};
use crate::hub::{self, FolderFiles, ModelFiles};
use mlx_rs::Array;
use mlx_rs::transforms::eval;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A shard holds no more, one large tensor apart.
const SHARD_BYTES: u64 = 5 << 30;

/// Why a checkpoint could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It can't be read, or is nothing that can be quantised.
    #[error(transparent)]
    Source(#[from] ModelError),
    /// Something lies where the result belongs.
    #[error("{} exists already: give a folder that doesn't, or remove it first", .0.display())]
    Exists(PathBuf),
    /// The result can't be written.
    #[error("can't write {}: {problem}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
}

/// What a conversion wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// Weights counted as if they were not quantised.
    pub parameters: u64,
    /// Bytes of the tensors that were written.
    pub weight_bytes: u64,
}

/// Quantises the dense checkpoint `files` into the new folder `target`, tensor by tensor.
///
/// `go_on` is told how many of how many tensors are done; where it says no, the conversion ends with
/// [`ModelError::Cancelled`]. A conversion that fails leaves nothing behind.
pub fn convert(
    files: &ModelFiles,
    target: &Path,
    quantization: Quantization,
    go_on: &dyn Fn(usize, usize) -> bool,
) -> Result<Converted, ConvertError> {
    let ModelFiles::Folder(source) = files else {
        return Err(ModelError::unsupported("quantising", "a GGUF file", "a folder with a dense checkpoint").into());
    };
    if target.exists() {
        return Err(ConvertError::Exists(target.to_owned()));
    }
    let (config, weights) = open_folder(source, Compute::AsStored, Some(quantization))?;
    let mut weights = weights.recorded();
    // Building the model names every tensor that it has; what is built is not computed.
    take_all(&config, &mut weights)?;
    let tensors = weights.taken();
    let converted = Converted {
        parameters: weights.parameters(),
        weight_bytes: tensors.iter().map(|(_, array)| array.nbytes() as u64).sum(),
    };
    weights.finish(&config)?;
    let quantizer = Quantizer::new(&config, quantization)?;
    let listed = described(quantization, &quantizer, &tensors);
    fs::create_dir_all(target).map_err(unwritable(target))?;
    let target = Target { folder: target, source };
    target
        .write_weights(tensors, converted, go_on)
        .and_then(|()| target.copy_companions())
        .and_then(|()| target.write_config(listed))
        .inspect_err(|_| {
            if let Err(error) = fs::remove_dir_all(target.folder) {
                tracing::warn!("can't remove {}: {error}", target.folder.display());
            }
        })?;
    Ok(converted)
}

/// config.json's `quantization`.
fn described(usual: Quantization, quantizer: &Quantizer, tensors: &[(String, Array)]) -> Value {
    let entry = |quantization: Quantization| json!({"group_size": quantization.group_size, "bits": quantization.bits});
    let modules = tensors.iter().filter_map(|(name, _)| name.strip_suffix(".scales"));
    let delicate = modules.filter(|module| quantizer.is_delicate(module));
    let mut object = entry(usual);
    object["mode"] = json!("affine");
    for module in delicate {
        object[module] = entry(Quantizer::CAREFUL);
    }
    object
}

/// The folder that is written, and where its companions come from.
struct Target<'a> {
    folder: &'a Path,
    source: &'a FolderFiles,
}

impl Target<'_> {
    fn write_weights(
        &self,
        tensors: Vec<(String, Array)>,
        converted: Converted,
        go_on: &dyn Fn(usize, usize) -> bool,
    ) -> Result<(), ConvertError> {
        let total = tensors.len();
        let shards = shards(tensors);
        let count = shards.len();
        let metadata = HashMap::from([("format".to_owned(), "mlx".to_owned())]);
        let (mut done, mut weight_map) = (0, BTreeMap::new());
        for (number, shard) in (1..).zip(shards) {
            let file = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{number:05}-of-{count:05}.safetensors"),
            };
            for (_, array) in &shard {
                if !go_on(done, total) {
                    return Err(ModelError::Cancelled.into());
                }
                eval([array]).map_err(ModelError::from)?;
                done += 1;
            }
            let path = self.folder.join(&file);
            let named = shard.iter().map(|(name, array)| (name, array));
            Array::save_safetensors(named, Some(&metadata), &path)
                .map_err(|error| ConvertError::Write { path, problem: error.to_string() })?;
            weight_map.extend(shard.into_iter().map(|(name, _)| (name, file.clone())));
        }
        let sizes = json!({"total_size": converted.weight_bytes, "total_parameters": converted.parameters});
        self.write_json(FolderFiles::INDEX, &json!({"metadata": sizes, "weight_map": weight_map}))
    }

    /// Tokenizer, chat template and generation settings stay as they are.
    fn copy_companions(&self) -> Result<(), ConvertError> {
        let FolderFiles { folder, tokenizer, tokenizer_config, chat_template, generation_config, .. } = self.source;
        let special_tokens = Some(folder.join("special_tokens_map.json")).filter(|path| path.is_file());
        let optional = [tokenizer_config, chat_template, generation_config, &special_tokens];
        for from in [tokenizer].into_iter().chain(optional.into_iter().flatten()) {
            let to = self.folder.join(from.file_name().unwrap_or_default());
            fs::copy(from, &to).map_err(unwritable(&to))?;
        }
        Ok(())
    }

    /// config.json comes last: a folder without it is no model.
    fn write_config(&self, quantization: Value) -> Result<(), ConvertError> {
        let mut config: Map<String, Value> = hub::read_json(&self.source.config).map_err(ModelError::from)?;
        config.remove("_name_or_path");
        config.remove("vision_config");
        if let Some(path) = &self.source.generation_config {
            let generation: Value = hub::read_json(path).map_err(ModelError::from)?;
            if let Some(ends) = generation.get("eos_token_id").filter(|ends| !ends.is_null()) {
                config.insert("eos_token_id".into(), ends.clone());
            }
        }
        config.insert("quantization".into(), quantization.clone());
        config.insert("quantization_config".into(), quantization);
        self.write_json("config.json", &config.into_iter().collect::<BTreeMap<_, _>>())
    }

    fn write_json(&self, file: &str, value: &impl Serialize) -> Result<(), ConvertError> {
        let path = self.folder.join(file);
        let write = || -> io::Result<()> {
            let mut text = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
            fs::File::create(&path)?.write_all(&text)
        };
        write().map_err(unwritable(&path))
    }
}

/// In order, each as full as it may be.
fn shards(tensors: Vec<(String, Array)>) -> Vec<Vec<(String, Array)>> {
    let mut shards: Vec<Vec<(String, Array)>> = Vec::new();
    let mut bytes = 0;
    for (name, array) in tensors {
        let size = array.nbytes() as u64;
        match shards.last_mut().filter(|_| bytes + size <= SHARD_BYTES) {
            Some(shard) => {
                bytes += size;
                shard.push((name, array));
            }
            None => {
                bytes = size;
                shards.push(vec![(name, array)]);
            }
        }
    }
    shards
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> ConvertError {
    let path = path.to_owned();
    move |error| ConvertError::Write { path, problem: error.to_string() }
}
