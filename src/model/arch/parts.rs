//! The parts that architectures share, built from a checkpoint's tensors.

use super::rope;
use crate::model::ModelError;
use crate::model::files::{Config, Stored, Weights};
use crate::model::kernels::{AttentionSettings, Kernels, KvShape, Matrix, Rotation};
use crate::model::layers::{
    Attention, Decoder, FeedForward, HeadNorms, Layer, Linear, MixtureOfExperts, Mlp, PreNormLayer, Projections,
    RmsNorm,
};

/// What a model is built of.
pub struct Parts<'a> {
    /// The checkpoint's config.json.
    pub config: &'a Config,
    weights: &'a mut Weights,
    kernels: &'a dyn Kernels,
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

/// What a model's output matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMatrix {
    /// What config.json says: the embedding where it is tied; where it says nothing, `lm_head` where the checkpoint has one.
    AsConfigured,
    /// `lm_head` where the checkpoint has one, whatever config.json says.
    HeadWhereThere,
    /// The embedding, whatever config.json says.
    Embedding,
}

/// Which of an attention's projections have a bias.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionBiases {
    /// `q_proj`, `k_proj`, `v_proj`.
    pub qkv: bool,
    /// `o_proj`.
    pub output: bool,
}

impl<'a> Parts<'a> {
    /// Of the tensors that no layer has taken yet, laid out as the kernels want them.
    pub fn new(config: &'a Config, weights: &'a mut Weights, kernels: &'a dyn Kernels) -> Self {
        Self { config, weights, kernels }
    }

    /// The matrix `path`.weight of `[.., outputs, inputs]`, dense or packed; `rows` are the axes before the last.
    fn matrix(&mut self, path: &str, rows: &[i32], inputs: i32) -> Result<Matrix, ModelError> {
        Ok(match self.weights.matrix(self.config, path, rows, inputs)? {
            Stored::Dense(weight) => self.kernels.dense(&weight)?,
            Stored::Packed(parts) => Matrix::packed(parts.packed, parts.scales, parts.biases, parts.quantization),
        })
    }

    /// `path`.weight `[outputs, inputs]` and, where asked for, `path`.bias `[outputs]`.
    pub fn linear(&mut self, path: &str, outputs: i32, inputs: i32, bias: bool) -> Result<Linear, ModelError> {
        let weight = self.matrix(path, &[outputs], inputs)?;
        let bias = if bias { Some(self.weights.tensor(&format!("{path}.bias"), &[outputs])?) } else { None };
        Ok(Linear::new(weight, bias))
    }

    /// `path`.weight `[dim]`.
    pub fn norm(&mut self, path: &str, dim: i32) -> Result<RmsNorm, ModelError> {
        Ok(RmsNorm::new(self.weights.tensor(&format!("{path}.weight"), &[dim])?, self.config.rms_norm_eps))
    }

    /// `self_attn` of the layer at `path`, without norms of heads.
    pub fn attention(&mut self, path: &str, biases: AttentionBiases) -> Result<Attention, ModelError> {
        let config = self.config;
        let (queries, keys) = self.widths();
        let qkv = vec![
            self.linear(&format!("{path}.q_proj"), queries, config.hidden_size, biases.qkv)?,
            self.linear(&format!("{path}.k_proj"), keys, config.hidden_size, biases.qkv)?,
            self.linear(&format!("{path}.v_proj"), keys, config.hidden_size, biases.qkv)?,
        ];
        self.attention_of(path, Projections::new(qkv)?, biases.output, rope::usual(config)?)
    }

    /// `self_attn` of the layer at `path` around its projections, without norms of heads.
    pub fn attention_of(
        &mut self,
        path: &str,
        qkv: Projections,
        bias: bool,
        rotation: Rotation,
    ) -> Result<Attention, ModelError> {
        let config = self.config;
        Ok(Attention {
            qkv_proj: qkv,
            o_proj: self.linear(&format!("{path}.o_proj"), config.hidden_size, self.widths().0, bias)?,
            norms: HeadNorms::None,
            rotation: Some(rotation),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            settings: AttentionSettings { scale: (config.head_dim as f32).powf(-0.5), window: None, softcap: None },
        })
    }

    /// `self_attn` of the layer at `path` with `q_norm` and `k_norm` of each head.
    pub fn attention_with_head_norms(&mut self, path: &str) -> Result<Attention, ModelError> {
        let mut attention = self.attention(path, AttentionBiases::default())?;
        let mut norm = |name: &str| self.norm(&format!("{path}.{name}"), self.config.head_dim);
        attention.norms = HeadNorms::EachHead { q_norm: norm("q_norm")?, k_norm: norm("k_norm")? };
        Ok(attention)
    }

    /// Outputs of the queries' projection and of the keys'.
    pub fn widths(&self) -> (i32, i32) {
        let config = self.config;
        (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim)
    }

    /// `mlp` of the layer at `path`.
    pub fn mlp(&mut self, path: &str, bias: bool) -> Result<Mlp, ModelError> {
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let gate = self.linear(&format!("{path}.gate_proj"), inner, hidden, bias)?;
        let up = self.linear(&format!("{path}.up_proj"), inner, hidden, bias)?;
        Ok(Mlp {
            gate_up_proj: Projections::new(vec![gate, up])?,
            down_proj: self.linear(&format!("{path}.down_proj"), hidden, inner, bias)?,
            activation: self.config.hidden_act,
        })
    }

    /// `mlp` of the layer at `path`, where it is a mixture of experts: a router `gate` and the stacks of `switch_mlp`.
    /// `inner` is one expert's width.
    pub fn experts(&mut self, path: &str, inner: i32, routing: Routing) -> Result<MixtureOfExperts, ModelError> {
        let (hidden, experts) = (self.config.hidden_size, routing.experts);
        for module in ["gate_proj", "up_proj", "down_proj"] {
            self.weights.stack_experts(path, module, experts)?;
        }
        let path_of = |module: &str| format!("{path}.switch_mlp.{module}");
        Ok(MixtureOfExperts {
            gate: self.linear(&format!("{path}.gate"), experts, hidden, false)?,
            gate_proj: self.matrix(&path_of("gate_proj"), &[experts, inner], hidden)?,
            up_proj: self.matrix(&path_of("up_proj"), &[experts, inner], hidden)?,
            down_proj: self.matrix(&path_of("down_proj"), &[experts, hidden], inner)?,
            experts_per_token: routing.experts_per_token,
            normalise: routing.normalise,
            activation: self.config.hidden_act,
        })
    }

    /// Builds each layer from its number and its path in the checkpoint.
    pub fn layers<L: Layer + 'static>(
        &mut self,
        mut layer: impl FnMut(&mut Self, usize, &str) -> Result<L, ModelError>,
    ) -> Result<Vec<Box<dyn Layer>>, ModelError> {
        (0..self.config.num_hidden_layers)
            .map(|index| Ok(Box::new(layer(self, index, &format!("model.layers.{index}"))?) as Box<dyn Layer>))
            .collect()
    }

    /// The usual layer at `path`, around its attention and MLP.
    pub fn pre_norm_layer(
        &mut self,
        path: &str,
        self_attn: Attention,
        mlp: FeedForward,
    ) -> Result<PreNormLayer, ModelError> {
        let hidden = self.config.hidden_size;
        Ok(PreNormLayer {
            input_layernorm: self.norm(&format!("{path}.input_layernorm"), hidden)?,
            self_attn,
            post_attention_layernorm: self.norm(&format!("{path}.post_attention_layernorm"), hidden)?,
            mlp,
            residual_multiplier: None,
        })
    }

    /// The parts around the layers, as most architectures have them.
    pub fn decoder(&mut self, layers: Vec<Box<dyn Layer>>) -> Result<Decoder, ModelError> {
        self.decoder_with(layers, OutputMatrix::AsConfigured)
    }

    /// The parts around the layers, with the architecture's own rule for its output matrix.
    pub fn decoder_with(&mut self, layers: Vec<Box<dyn Layer>>, output: OutputMatrix) -> Result<Decoder, ModelError> {
        let config = self.config;
        let embed_tokens = self.matrix("model.embed_tokens", &[config.vocab_size], config.hidden_size)?;
        let has_head = self.weights.has("lm_head.weight");
        let takes_head = match output {
            OutputMatrix::AsConfigured => config.tie_word_embeddings.map_or(has_head, |is_tied| !is_tied),
            OutputMatrix::HeadWhereThere => has_head,
            OutputMatrix::Embedding => false,
        };
        let lm_head = match takes_head {
            true => Some(self.matrix("lm_head", &[config.vocab_size], config.hidden_size)?),
            false => None,
        };
        if output == OutputMatrix::AsConfigured && !takes_head {
            // Some converters store the embedding twice.
            self.weights.discard("lm_head");
        }
        let norm = self.norm("model.norm", config.hidden_size)?;
        Ok(Decoder {
            embed_tokens,
            embedding_scale: None,
            lm_head,
            logits_scale: None,
            logits_softcap: None,
            kv_shape: KvShape {
                layers: layers.len(),
                kv_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                dtype: norm.array().dtype(),
            },
            norm,
            layers,
        })
    }
}
