//! A checkpoint's tensors by name, handed out once each, checked against what config.json calls for.

use super::ModelError;
use super::attention::Attention;
use super::config::Config;
use super::experts::MixtureOfExperts;
use super::kernels;
use super::kv::AttentionSettings;
use super::linear::{Linear, Order, Projections, Weight};
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::quantization::Quantization;
use super::quantize::{Packed, Quantizer};
use super::rope::Rope;
use mlx_rs::ops::stack;
use mlx_rs::{Array, Dtype};
use std::collections::HashMap;

/// What the device computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// The checkpoint's own packing and dtype: a GPU's way.
    AsStored,
    /// Everything unpacked to f32: a CPU's way, where half precision is emulated and packed products don't batch.
    DenseF32,
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

    /// Whether everything is computed in f32, as a CPU wants it.
    pub fn are_unpacked(&self) -> bool {
        self.compute == Compute::DenseF32
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

    /// The matrix `path`.weight of [outputs, inputs], dense or packed.
    pub fn matrix(&mut self, config: &Config, path: &str, outputs: i32, inputs: i32) -> Result<Weight, ModelError> {
        self.matrices(config, path, &[outputs], inputs)
    }

    /// The matrices `path`.weight of [.., outputs, inputs], dense or packed; `rows` are the axes before the last.
    pub fn matrices(&mut self, config: &Config, path: &str, rows: &[i32], inputs: i32) -> Result<Weight, ModelError> {
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
            None => return Ok(Weight::dense(&self.tensor(&weight, &shape(inputs))?, self.order(rows))?),
        };
        self.parameters += shape(inputs).iter().map(|axis| *axis as u64).product::<u64>();
        for (name, array) in [(weight, &parts.packed), (scales, &parts.scales), (biases, &parts.biases)] {
            self.record(&name, array);
        }
        let Packed { packed, scales, biases, quantization } = parts;
        let weight = Weight::Quantized { packed, scales, biases, quantization };
        match self.compute {
            Compute::DenseF32 => Ok(weight.dequantized(Dtype::Float32, self.order(rows))?),
            Compute::AsStored => Ok(weight),
        }
    }

    /// `path`.weight [outputs, inputs] and, where asked for, `path`.bias [outputs].
    pub fn linear(
        &mut self,
        config: &Config,
        path: &str,
        outputs: i32,
        inputs: i32,
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let weight = self.matrix(config, path, outputs, inputs)?;
        let bias = if bias { Some(self.tensor(&format!("{path}.bias"), &[outputs])?) } else { None };
        Ok(Linear::new(weight, bias))
    }

    /// `path`.weight [dim].
    pub fn norm(&mut self, config: &Config, path: &str, dim: i32) -> Result<RmsNorm, ModelError> {
        Ok(RmsNorm::new(self.tensor(&format!("{path}.weight"), &[dim])?, config.rms_norm_eps))
    }

    /// `mlp` of the layer at `path`, where it is a mixture of experts: a router `gate` and the stacks of `switch_mlp`.
    /// `inner` is one expert's width.
    pub fn experts(
        &mut self,
        config: &Config,
        path: &str,
        inner: i32,
        routing: Routing,
    ) -> Result<MixtureOfExperts, ModelError> {
        let (hidden, experts) = (config.hidden_size, routing.experts);
        for module in ["gate_proj", "up_proj", "down_proj"] {
            self.stack_experts(path, module, experts)?;
        }
        let path_of = |module: &str| format!("{path}.switch_mlp.{module}");
        Ok(MixtureOfExperts {
            gate: self.linear(config, &format!("{path}.gate"), experts, hidden, false)?,
            gate_proj: self.matrices(config, &path_of("gate_proj"), &[experts, inner], hidden)?,
            up_proj: self.matrices(config, &path_of("up_proj"), &[experts, inner], hidden)?,
            down_proj: self.matrices(config, &path_of("down_proj"), &[experts, hidden], inner)?,
            experts_per_token: routing.experts_per_token,
            normalise: routing.normalise,
            activation: config.hidden_act,
        })
    }

    /// Hugging Face keeps each expert's matrix by itself.
    fn stack_experts(&mut self, path: &str, module: &str, experts: i32) -> Result<(), ModelError> {
        let name = |expert: i32| format!("{path}.experts.{expert}.{module}.weight");
        if !self.has(&name(0)) {
            return Ok(());
        }
        let each = (0..experts).map(|expert| self.raw(&name(expert))).collect::<Result<Vec<_>, _>>()?;
        self.tensors.insert(format!("{path}.switch_mlp.{module}.weight"), stack(&each, 0)?);
        Ok(())
    }

    /// `self_attn` of the layer at `path`, without norms of heads.
    pub fn attention(&mut self, config: &Config, path: &str, biases: AttentionBiases) -> Result<Attention, ModelError> {
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let hidden = config.hidden_size;
        let qkv = vec![
            self.linear(config, &format!("{path}.q_proj"), queries, hidden, biases.qkv)?,
            self.linear(config, &format!("{path}.k_proj"), keys, hidden, biases.qkv)?,
            self.linear(config, &format!("{path}.v_proj"), keys, hidden, biases.qkv)?,
        ];
        Ok(Attention {
            qkv_proj: Projections::new(qkv)?,
            o_proj: self.linear(config, &format!("{path}.o_proj"), hidden, queries, biases.output)?,
            q_norm: None,
            k_norm: None,
            rope: Some(Rope::new(config)?),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            settings: self.usual_settings(config),
        })
    }

    /// The usual scale, 1 / √head_dim, over all tokens.
    pub fn usual_settings(&self, config: &Config) -> AttentionSettings {
        AttentionSettings {
            scale: (config.head_dim as f32).powf(-0.5),
            window: None,
            softcap: None,
            in_steps: self.compute == Compute::DenseF32,
        }
    }

    /// `mlp` of the layer at `path`.
    pub fn mlp(&mut self, config: &Config, path: &str, bias: bool) -> Result<Mlp, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let gate = self.linear(config, &format!("{path}.gate_proj"), inner, hidden, bias)?;
        let up = self.linear(config, &format!("{path}.up_proj"), inner, hidden, bias)?;
        let down = self.linear(config, &format!("{path}.down_proj"), hidden, inner, bias)?;
        Ok(Mlp::new(Projections::new(vec![gate, up])?, down, config.hidden_act))
    }

    /// Refuses tensors that nobody took. Tables that other programs store and anyone can compute are no error.
    pub fn finish(self, config: &Config) -> Result<(), ModelError> {
        let derived = |name: &str| name.ends_with("rotary_emb.inv_freq") || name == "rope_freqs.weight";
        let tied = |name: &str| config.tie_word_embeddings == Some(true) && name.starts_with("lm_head.");
        let mut names: Vec<String> = self.tensors.into_keys().filter(|name| !derived(name) && !tied(name)).collect();
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

    /// Stacks of experts stay as they are: each of their matrices serves few rows at a time.
    fn order(&self, rows: &[i32]) -> Order {
        match (self.compute, rows) {
            (Compute::DenseF32, [_]) if !kernels::has_dense_products() => Order::InputsFirst,
            _ => Order::OutputsFirst,
        }
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
            config.fields.problem(format!("the tensor {path}.scales is there, but `quantization` does not cover it"))
        })
    }
}

fn wrong_type(name: &str, array: &Array, expected: &'static str) -> ModelError {
    ModelError::WrongType { name: name.into(), expected, found: format!("{:?}", array.dtype()) }
}

/// How a mixture of experts chooses.
#[derive(Clone, Copy, Debug)]
pub struct Routing {
    /// How many experts there are.
    pub experts: i32,
    /// How many of them a token passes.
    pub experts_per_token: i32,
    /// Whether the chosen experts' shares are scaled to sum to 1.
    pub normalise: bool,
}

/// Which of an attention's projections have a bias.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionBiases {
    /// `q_proj`, `k_proj`, `v_proj`.
    pub qkv: bool,
    /// `o_proj`.
    pub output: bool,
}
