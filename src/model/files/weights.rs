//! A checkpoint's tensors by name, handed out once each, checked against what config.json calls for.

use super::config::Config;
use super::quantize::{Packed, Quantizer};
use crate::model::device::Compute;
use crate::model::{ModelError, Quantization};
use mlx_rs::ops::stack;
use mlx_rs::{Array, Dtype};
use std::collections::HashMap;

/// A matrix as it was stored, or as a load has packed or unpacked it.
#[derive(Clone, Debug)]
pub enum Stored {
    /// `[.., outputs, inputs]`.
    Dense(Array),
    /// Packed by MLX.
    Packed(Packed),
}

/// The tensors that no layer has taken yet. Arrays are lazy: taking one reads nothing.
#[derive(Debug)]
pub struct Weights {
    tensors: HashMap<String, Array>,
    compute: Compute,
    /// Group size of packed tensors whose bits the file itself tells (GGUF), instead of config.json.
    self_described_group: Option<i32>,
    /// Packs a dense checkpoint's matrices.
    quantizer: Option<Quantizer>,
    /// What was taken, under the names that a checkpoint gives it; for those who write one.
    taken: Option<Vec<(String, Array)>>,
    parameters: u64,
}

impl Weights {
    /// `self_described_group`: see the field.
    pub fn new(tensors: HashMap<String, Array>, compute: Compute, self_described_group: Option<i32>) -> Self {
        Self { tensors, compute, self_described_group, quantizer: None, taken: None, parameters: 0 }
    }

    /// Packs the matrices before they are handed out.
    pub fn quantized_by(self, quantizer: Option<Quantizer>) -> Self {
        Self { quantizer, ..self }
    }

    /// Keeps what is handed out, for [`Weights::taken`].
    pub fn recorded(self) -> Self {
        Self { taken: Some(Vec::new()), ..self }
    }

    /// What was handed out so far, as a checkpoint stores it, in order.
    pub fn taken(&mut self) -> Vec<(String, Array)> {
        self.taken.take().unwrap_or_default()
    }

    /// Weights taken so far, counted as if they were not packed.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Leaves the tensors of a module out that nobody needs.
    pub fn discard(&mut self, path: &str) {
        self.tensors.retain(|name, _| name.rsplit_once('.').is_none_or(|(module, _)| module != path));
    }

    /// Whether the tensor is still here.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor of exactly this shape.
    pub fn tensor(&mut self, name: &str, shape: &[i32]) -> Result<Array, ModelError> {
        let array = self.dense(name, shape)?;
        self.parameters += array.size() as u64;
        self.record(name, &array);
        match self.compute {
            Compute::DenseF32 => Ok(array.as_dtype(Dtype::Float32)?),
            // A GGUF mixes f32 norms with f16 scales; one dtype keeps the activations in it.
            Compute::AsStored if self.self_described_group.is_some() => Ok(array.as_dtype(Dtype::Float16)?),
            Compute::AsStored => Ok(array),
        }
    }

    /// A tensor of exactly this shape, of numbers, as the checkpoint says that it is stored.
    fn dense(&mut self, name: &str, shape: &[i32]) -> Result<Array, ModelError> {
        let array = self.shaped(name, shape)?;
        if !matches!(array.dtype(), Dtype::Float32 | Dtype::Float16 | Dtype::Bfloat16) {
            return Err(wrong_type(name, &array, "Float32, Float16 or Bfloat16"));
        }
        match &self.quantizer {
            Some(quantizer) => Ok(quantizer.cast(array)?),
            None => Ok(array),
        }
    }

    fn shaped(&mut self, name: &str, shape: &[i32]) -> Result<Array, ModelError> {
        let array = self.raw(name)?;
        match array.shape() == shape {
            true => Ok(array),
            false => Err(ModelError::WrongShape {
                name: name.into(),
                expected: shape.to_vec(),
                found: array.shape().to_vec(),
            }),
        }
    }

    fn record(&mut self, name: &str, array: &Array) {
        if let Some(taken) = &mut self.taken {
            taken.push((name.to_owned(), array.clone()));
        }
    }

    /// The matrix `path`.weight of `[.., outputs, inputs]`, dense or packed; `rows` are the axes before the last.
    pub fn matrix(&mut self, config: &Config, path: &str, rows: &[i32], inputs: i32) -> Result<Stored, ModelError> {
        let shape = |columns: i32| [rows, &[columns]].concat();
        let (weight, scales, biases) = (format!("{path}.weight"), format!("{path}.scales"), format!("{path}.biases"));
        let chosen = self.quantizer.as_ref().and_then(|quantizer| quantizer.choose(path, inputs));
        let parts = match chosen {
            _ if self.has(&scales) => {
                let quantization = self.quantization_of(config, path, &weight, inputs)?;
                let groups = inputs / quantization.group_size;
                let packed = self.shaped(&weight, &shape(inputs * quantization.bits / 32))?;
                if packed.dtype() != Dtype::Uint32 {
                    return Err(wrong_type(&weight, &packed, "Uint32"));
                }
                let (scales, biases) = (self.shaped(&scales, &shape(groups))?, self.shaped(&biases, &shape(groups))?);
                Packed { packed, scales, biases, quantization }
            }
            Some(quantization) => Packed::new(&self.dense(&weight, &shape(inputs))?, quantization)?,
            None => return Ok(Stored::Dense(self.tensor(&weight, &shape(inputs))?)),
        };
        self.parameters += shape(inputs).iter().map(|axis| *axis as u64).product::<u64>();
        for (name, array) in [(weight, &parts.packed), (scales, &parts.scales), (biases, &parts.biases)] {
            self.record(&name, array);
        }
        match self.compute {
            Compute::DenseF32 => Ok(Stored::Dense(parts.unpacked(Dtype::Float32)?)),
            Compute::AsStored => Ok(Stored::Packed(parts)),
        }
    }

    /// Stacks the matrices of the experts' `module` where the checkpoint keeps each by itself, as Hugging Face does.
    pub fn stack_experts(&mut self, path: &str, module: &str, experts: i32) -> Result<(), ModelError> {
        let name = |expert: i32| format!("{path}.experts.{expert}.{module}.weight");
        if !self.has(&name(0)) {
            return Ok(());
        }
        let each = (0..experts).map(|expert| self.raw(&name(expert))).collect::<Result<Vec<_>, _>>()?;
        self.tensors.insert(format!("{path}.switch_mlp.{module}.weight"), stack(&each, 0)?);
        Ok(())
    }

    /// Refuses tensors that nobody took. Tables that other programs store and anyone can compute are no error.
    pub fn finish(self, config: &Config) -> Result<(), ModelError> {
        let derived = |name: &str| name.ends_with("rotary_emb.inv_freq") || name == "rope_freqs.weight";
        let mut names: Vec<String> = self.tensors.into_keys().filter(|name| !derived(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort();
        let more = names.len().saturating_sub(3);
        names.truncate(3);
        let mut words = names.join(", ");
        if more > 0 {
            words = format!("{words} and {more} more");
        }
        Err(ModelError::SuperfluousTensors { architecture: config.model_type.clone(), names: words })
    }

    fn raw(&mut self, name: &str) -> Result<Array, ModelError> {
        self.tensors.remove(name).ok_or_else(|| ModelError::MissingTensor(name.into()))
    }

    fn quantization_of(
        &self,
        config: &Config,
        path: &str,
        weight: &str,
        inputs: i32,
    ) -> Result<Quantization, ModelError> {
        if let Some(group_size) = self.self_described_group {
            let columns = self.tensors.get(weight).map_or(0, |packed| packed.dim(-1));
            return Ok(Quantization { bits: columns * 32 / inputs.max(1), group_size });
        }
        config.quantization.of(path).ok_or_else(|| {
            let problem = format!("the tensor {path}.scales is there, but `quantization` does not cover it");
            config.fields.problem(problem).into()
        })
    }
}

fn wrong_type(name: &str, array: &Array, expected: &'static str) -> ModelError {
    ModelError::WrongType { name: name.into(), expected, found: format!("{:?}", array.dtype()) }
}
