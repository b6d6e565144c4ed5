//! From files to a model whose weights are evaluated in full.

use super::arch::{self, Parts};
use super::device::{Compute, ComputeDevice};
use super::files::{Config, Quantizer, Weights, gguf};
use super::kernels::{KernelChoice, choose};
use super::run::{Runner, choose_plan};
use super::{ModelError, Quantization};
use crate::hub::config_json::Fields;
use crate::hub::{self, FolderFiles, ModelFiles, gguf::Gguf, safetensors::read_tensor_index};
use crate::protocol::{DeviceKind, ModelFacts};
use mlx_rs::Array;
use mlx_rs::transforms::eval;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

/// How a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MlxOptions {
    /// Packs the matrices of a dense checkpoint.
    pub quantize: Option<Quantization>,
    /// Which kernels serve it.
    pub kernels: KernelChoice,
}

/// Checks the files, takes their tensors, packed where the options say so, evaluates all of them, and asks the device how
/// it can run exactly.
pub(super) fn load(
    files: &ModelFiles,
    device: &ComputeDevice,
    options: MlxOptions,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(Runner, ModelFacts), ModelError> {
    let began = Instant::now();
    let quantize = options.quantize;
    let (config, mut weights) = match files {
        ModelFiles::Folder(folder) => open_folder(folder, device.compute(), quantize)?,
        ModelFiles::Gguf(_) if quantize.is_some() => {
            return Err(ModelError::unsupported("quantising", "a GGUF file", "a folder with a dense checkpoint"));
        }
        ModelFiles::Gguf(path) => open_gguf(path, device.compute())?,
    };
    let kernels = choose(device.kind, options.kernels)?;
    let decoder = arch::find(&config.model_type)?(&mut Parts::new(&config, &mut weights, &*kernels))?;
    let parameters = weights.parameters();
    weights.finish(&config)?;
    // Evaluated in pieces: each layer's packed source can go before the next one is read.
    for array in decoder.arrays() {
        if is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        eval([array])?;
    }
    let weight_bytes = decoder.arrays().iter().map(|array| array.nbytes() as u64).sum();
    let load_seconds = began.elapsed().as_secs_f64();
    let exact = choose_plan(&decoder, &*kernels, device.kind);
    let facts = ModelFacts {
        architecture: config.model_type.clone(),
        parameters,
        weight_bytes,
        kv_bytes_per_token: decoder.kv_shape.bytes_per_token(),
        context_length: config.max_position_embeddings,
        device: device.kind,
        load_seconds,
        exact_width: exact.as_ref().map(|plan| plan.width() as u32).map_err(String::clone),
        packed_bits: quantize.map(|quantization| quantization.bits as u32),
    };
    Ok((Runner::new(decoder, kernels, device.kind, exact), facts))
}

/// Takes the tensors that a model of `config` has, without computing any.
pub(super) fn take_all(config: &Config, weights: &mut Weights) -> Result<(), ModelError> {
    let kernels = choose(DeviceKind::Gpu, KernelChoice::Mlx)?;
    arch::find(&config.model_type)?(&mut Parts::new(config, weights, &*kernels)).map(drop)
}

/// Whether a load would take the files, from configuration and headers alone: no weight is read.
pub fn check(files: &ModelFiles) -> Result<(), ModelError> {
    match files {
        ModelFiles::Folder(folder) => {
            let (config, mut weights) = open_folder(folder, Compute::AsStored, None)?;
            take_all(&config, &mut weights)?;
            weights.finish(&config)
        }
        ModelFiles::Gguf(path) => {
            let file = Gguf::open(path)?;
            judge(gguf::config(&file)?)?;
            Ok(file.check_tensor_types()?)
        }
    }
}

/// Whether a load could pack the files' weights: those of a folder that are not packed already.
pub fn can_quantize(files: &ModelFiles) -> Result<bool, ModelError> {
    match files {
        ModelFiles::Folder(folder) => {
            let config = judge(Fields::new(&folder.config, hub::read_json(&folder.config)?))?;
            Ok(config.quantization.is_dense())
        }
        ModelFiles::Gguf(_) => Ok(false),
    }
}

/// Whether a load would take a model with this config.json; `file` names it in errors.
pub fn check_config(file: &Path, config: Value) -> Result<(), ModelError> {
    judge(Fields::new(file, config)).map(|_| ())
}

/// Reads the configuration of a known architecture: only of those is it known what the fields mean.
fn judge(fields: Fields) -> Result<Config, ModelError> {
    arch::find(fields.model_type()?)?;
    Config::new(fields)
}

/// Reads config.json, checks the shards' headers and names their tensors; no weight is read yet.
pub(super) fn open_folder(
    files: &FolderFiles,
    compute: Compute,
    quantize: Option<Quantization>,
) -> Result<(Config, Weights), ModelError> {
    let config = judge(Fields::new(&files.config, hub::read_json(&files.config)?))?;
    let quantizer = quantize.map(|usual| Quantizer::new(&config, usual)).transpose()?;
    // MLX's reader trusts the headers, so they are checked first.
    read_tensor_index(files)?;
    let mut tensors: HashMap<String, Array> = HashMap::new();
    for shard in &files.shards {
        tensors.extend(read_shard(shard)?);
    }
    Ok((config, Weights::new(tensors, compute, None).quantized_by(quantizer)))
}

fn read_shard(shard: &Path) -> Result<HashMap<String, Array>, ModelError> {
    Array::load_safetensors(shard).map_err(|_| ModelError::Config {
        file: shard.to_owned(),
        problem: "MLX can't read it; it may have changed since it was checked".into(),
    })
}

fn open_gguf(path: &Path, compute: Compute) -> Result<(Config, Weights), ModelError> {
    let file = Gguf::open(path)?;
    let mut config = judge(gguf::config(&file)?)?;
    file.check_tensor_types()?;
    let (tensors, scaling) = gguf::tensors(&file)?;
    if let Some(scaling) = scaling {
        config.rope_scaling = scaling;
    }
    Ok((config, Weights::new(tensors, compute, Some(gguf::GROUP_SIZE))))
}
