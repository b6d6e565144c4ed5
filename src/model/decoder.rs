//! A decoder-only transformer: embedding, layers, norm, output matrix. Architectures differ in their layers.

use super::attention::{Attention, Step};
use super::cuda::{Around, Matrix};
use super::experts::MixtureOfExperts;
use super::fused::FusedLayer;
use super::kv::{KvShape, attends_in_place};
use super::linear::Weight;
use super::mlp::{Mlp, scalar};
use super::norm::RmsNorm;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::tanh;
use mlx_rs::transforms::async_eval;
use std::cell::OnceCell;
use std::fmt::Debug;

/// One decoder layer. Fields are named as in the checkpoint.
pub trait Layer: Debug {
    /// hidden [T, hidden] → [T, hidden], for the T tokens of `step`; `index` is the layer's number.
    fn forward(&self, index: usize, hidden: &Array, step: &mut Step<'_>) -> Result<Array>;

    /// The layer's attention.
    fn attention(&self) -> &Attention;

    /// The matrices that all tokens pass, in the order of their use.
    fn weights(&self) -> Vec<&Weight>;

    /// The mixture of experts, where the layer has one.
    fn experts(&self) -> Option<&MixtureOfExperts> {
        None
    }

    /// The layer's products together with what stands around them, where kernels do both at once, with a part of the first
    /// one's result in the attention's place: hidden [T, hidden] → [T, hidden].
    fn fused_products(&self, _hidden: &Array) -> Result<Option<Array>> {
        Ok(None)
    }

    /// The arrays to evaluate.
    fn arrays(&self) -> Vec<&Array>;
}

/// A model's weights, shared by all sessions. It never changes once loaded.
#[derive(Debug)]
pub struct Decoder {
    /// Token embedding [vocab, hidden].
    pub embed_tokens: Weight,
    /// Factor of the embedding, where the architecture has one.
    pub embedding_scale: Option<f32>,
    /// The layers.
    pub layers: Vec<Box<dyn Layer>>,
    /// The norm before the output matrix.
    pub norm: RmsNorm,
    /// Output matrix [vocab, hidden]; none where the embedding serves.
    pub lm_head: Option<Weight>,
    /// Factor of the logits, where the architecture has one.
    pub logits_scale: Option<f32>,
    /// Logits are squeezed into ± this, where the architecture says so.
    pub logits_softcap: Option<f32>,
    /// What one session's KV cache looks like.
    pub kv_shape: KvShape,
    /// Whether the first layers are computed while the others' operations are still being put together: on a CPU,
    /// which would be idle until then.
    pub starts_early: bool,
    /// Embedding and output matrix as the kernels for an NVIDIA GPU take them; made when they are first used.
    pub kernels: OnceCell<[Option<Matrix>; 2]>,
}

/// How many layers are put together at a time, where they are.
const LAYERS_AHEAD: usize = 4;

impl Decoder {
    /// token ids [T] → hidden states [T, hidden] after the last layer, not normed.
    pub fn hidden(&self, tokens: &Array, step: &mut Step<'_>) -> Result<Array> {
        let mut hidden = match &self.kernels()[0] {
            Some(matrix) => matrix.rows(tokens)?,
            None => self.embed_tokens.rows(tokens)?,
        };
        if let Some(scale) = self.embedding_scale {
            hidden = hidden.multiply(scalar(scale, &hidden)?)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if self.starts_early && index % LAYERS_AHEAD == 0 && index > 0 {
                async_eval([&hidden])?;
            }
            hidden = layer.forward(index, &hidden, step)?;
        }
        Ok(hidden)
    }

    /// Whether sessions are attended in their own caches, into which a kernel writes their tokens.
    pub fn attends_in_place(&self) -> bool {
        self.layers.iter().all(|layer| attends_in_place(self.kv_shape.dtype, layer.attention().settings))
    }

    fn kernels(&self) -> &[Option<Matrix>; 2] {
        self.kernels.get_or_init(|| {
            let embedding = self.embed_tokens.matrix();
            let output = self.lm_head.as_ref().map_or_else(|| embedding.clone(), Weight::matrix);
            [embedding, output.filter(|matrix| matrix.takes_norm(&self.norm))]
        })
    }

    /// hidden [.., hidden] → logits [.., vocab].
    pub fn logits(&self, hidden: &Array) -> Result<Array> {
        let mut logits = match &self.kernels()[1] {
            Some(matrix) if matrix.takes(hidden) => matrix.product(hidden, Around::Norm(&self.norm))?,
            _ => self.lm_head.as_ref().unwrap_or(&self.embed_tokens).product(&self.norm.forward(hidden)?)?,
        };
        if let Some(scale) = self.logits_scale {
            logits = logits.multiply(scalar(scale, &logits)?)?;
        }
        if let Some(cap) = self.logits_softcap {
            let cap = scalar(cap, &logits)?;
            logits = tanh(logits.divide(&cap)?)?.multiply(cap)?;
        }
        Ok(logits)
    }

    /// All arrays to evaluate before the first session.
    pub fn arrays(&self) -> Vec<&Array> {
        let mut arrays = self.embed_tokens.arrays();
        arrays.extend(self.layers.iter().flat_map(|layer| layer.arrays()));
        arrays.push(self.norm.array());
        arrays.extend(self.lm_head.iter().flat_map(Weight::arrays));
        arrays
    }
}

/// The usual layer: x + attention(norm(x)), then x + mlp(norm(x)).
#[derive(Debug)]
pub struct PreNormLayer {
    /// Before the attention.
    pub input_layernorm: RmsNorm,
    /// The attention.
    pub self_attn: Attention,
    /// Before the MLP.
    pub post_attention_layernorm: RmsNorm,
    /// The MLP, or many of them.
    pub mlp: FeedForward,
    /// Factor of what attention and MLP add, where the architecture has one.
    pub residual_multiplier: Option<f32>,
    /// The layer as few kernels on an NVIDIA GPU, where that is possible; made when it is first used.
    pub kernels: OnceCell<Option<FusedLayer>>,
}

/// What follows the attention in a layer.
#[derive(Debug)]
pub enum FeedForward {
    /// One MLP for all tokens.
    Dense(Mlp),
    /// A few of many MLPs for each token.
    Sparse(MixtureOfExperts),
}

impl FeedForward {
    /// x [T, hidden] → [T, hidden].
    pub fn forward(&self, x: &Array) -> Result<Array> {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Sparse(experts) => experts.forward(x),
        }
    }

    /// The matrices that all tokens pass.
    pub fn weights(&self) -> Vec<&Weight> {
        match self {
            Self::Dense(mlp) => mlp.weights(),
            Self::Sparse(experts) => experts.weights(),
        }
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        match self {
            Self::Dense(mlp) => mlp.arrays(),
            Self::Sparse(experts) => experts.arrays(),
        }
    }
}

impl PreNormLayer {
    fn fused(&self) -> Option<&FusedLayer> {
        self.kernels.get_or_init(|| FusedLayer::of(self)).as_ref()
    }

    fn scaled(&self, addend: Array) -> Result<Array> {
        match self.residual_multiplier {
            Some(factor) => addend.multiply(scalar(factor, &addend)?),
            None => Ok(addend),
        }
    }
}

impl Layer for PreNormLayer {
    fn forward(&self, index: usize, hidden: &Array, step: &mut Step<'_>) -> Result<Array> {
        if let Some(fused) = self.fused()
            && let Some(hidden) = fused.forward(self, index, hidden, step)?
        {
            return Ok(hidden);
        }
        let attended = self.self_attn.forward(index, &self.input_layernorm.forward(hidden)?, step)?;
        let hidden = hidden.add(self.scaled(attended)?)?;
        let mixed = self.mlp.forward(&self.post_attention_layernorm.forward(&hidden)?)?;
        hidden.add(self.scaled(mixed)?)
    }

    fn attention(&self) -> &Attention {
        &self.self_attn
    }

    fn weights(&self) -> Vec<&Weight> {
        self.self_attn.weights().into_iter().chain(self.mlp.weights()).collect()
    }

    fn experts(&self) -> Option<&MixtureOfExperts> {
        match &self.mlp {
            FeedForward::Dense(_) => None,
            FeedForward::Sparse(experts) => Some(experts),
        }
    }

    fn fused_products(&self, hidden: &Array) -> Result<Option<Array>> {
        self.fused().map(|fused| fused.products(self, hidden)).transpose()
    }

    fn arrays(&self) -> Vec<&Array> {
        let norms = [self.input_layernorm.array(), self.post_attention_layernorm.array()];
        self.self_attn.arrays().into_iter().chain(self.mlp.arrays()).chain(norms).collect()
    }
}
