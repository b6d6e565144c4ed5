//! The usual layer: x + attention(norm(x)), then x + mlp(norm(x)).

use super::attention::Attention;
use super::decoder::Layer;
use super::experts::MixtureOfExperts;
use super::forward::Forward;
use super::linear::Linear;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use crate::model::kernels::{Kernels, Then};
use crate::model::ops::scalar;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;

/// A layer whose norms stand before attention and MLP.
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
    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        match self {
            Self::Dense(mlp) => mlp.arrays(),
            Self::Sparse(experts) => experts.arrays(),
        }
    }
}

impl PreNormLayer {
    /// hidden + what `linear` gives for x.
    fn added(&self, kernels: &dyn Kernels, hidden: &Array, linear: &Linear, x: &Array) -> Result<Array> {
        match self.residual_multiplier {
            None => linear.product(kernels, x, None, Then::Add(hidden)),
            Some(_) => hidden.add(self.scaled(linear.forward(kernels, x)?)?),
        }
    }

    fn scaled(&self, addend: Array) -> Result<Array> {
        match self.residual_multiplier {
            Some(factor) => addend.multiply(scalar(factor, &addend)?),
            None => Ok(addend),
        }
    }

    /// The layer's second half: hidden `[T, hidden]` → what stands between the MLP's products, where there is one, and the
    /// hidden states `[T, hidden]`.
    fn mixed(&self, kernels: &dyn Kernels, hidden: &Array) -> Result<(Option<Array>, Array)> {
        let norm = self.post_attention_layernorm.norm();
        match &self.mlp {
            FeedForward::Dense(mlp) => {
                let inner = mlp.inner(kernels, hidden, Some(norm))?;
                let hidden = self.added(kernels, hidden, &mlp.down_proj, &inner)?;
                Ok((Some(inner), hidden))
            }
            FeedForward::Sparse(experts) => {
                let mixed = experts.forward(kernels, &kernels.rms_norm(hidden, norm)?)?;
                Ok((None, hidden.add(self.scaled(mixed)?)?))
            }
        }
    }
}

impl Layer for PreNormLayer {
    fn forward(&self, index: usize, hidden: &Array, forward: &mut Forward<'_, '_>) -> Result<Array> {
        let attended = self.self_attn.attend(index, hidden, Some(self.input_layernorm.norm()), forward)?;
        let hidden = self.added(forward.kernels, hidden, &self.self_attn.o_proj, &attended)?;
        Ok(self.mixed(forward.kernels, &hidden)?.1)
    }

    fn attention(&self) -> &Attention {
        &self.self_attn
    }

    fn experts(&self) -> Option<&MixtureOfExperts> {
        match &self.mlp {
            FeedForward::Dense(_) => None,
            FeedForward::Sparse(experts) => Some(experts),
        }
    }

    fn products(&self, kernels: &dyn Kernels, hidden: &Array) -> Result<Vec<Array>> {
        let attention = &self.self_attn;
        let all = attention.qkv_proj.forward(kernels, hidden, Some(self.input_layernorm.norm()))?;
        let attended = all.try_index((.., ..attention.heads * attention.head_dim))?;
        let hidden = self.added(kernels, hidden, &attention.o_proj, &attended)?;
        let (inner, mixed) = self.mixed(kernels, &hidden)?;
        Ok([all, hidden].into_iter().chain(inner).chain([mixed]).collect())
    }

    fn arrays(&self) -> Vec<&Array> {
        let norms = [self.input_layernorm.array(), self.post_attention_layernorm.array()];
        self.self_attn.arrays().into_iter().chain(self.mlp.arrays()).chain(norms).collect()
    }
}
