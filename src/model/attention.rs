//! Grouped-query self-attention.

use super::kv::{Attend, AttentionSettings};
use super::linear::{Linear, Projections, Weight};
use super::norm::RmsNorm;
use super::rope::{Positions, Rope};
use mlx_rs::Array;
use mlx_rs::error::Result;

/// A layer's self-attention; names as in the checkpoint's `self_attn`.
#[derive(Debug)]
pub struct Attention {
    /// `q_proj`, `k_proj` and `v_proj`.
    pub qkv_proj: Projections,
    /// Back to the residual stream.
    pub o_proj: Linear,
    /// Norm of the queries, where the architecture has one.
    pub q_norm: Option<HeadNorm>,
    /// Norm of the keys, where the architecture has one.
    pub k_norm: Option<HeadNorm>,
    /// None in layers without positions.
    pub rope: Option<Rope>,
    /// Query heads.
    pub heads: i32,
    /// Key and value heads.
    pub kv_heads: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// Scale and window.
    pub settings: AttentionSettings,
}

/// A norm of queries or keys.
#[derive(Debug)]
pub enum HeadNorm {
    /// Each head by itself; the weight has head_dim entries, which all heads share.
    EachHead(RmsNorm),
    /// All heads as one vector.
    AllHeads(RmsNorm),
}

impl HeadNorm {
    /// See [`RmsNorm::one_plus`].
    pub fn one_plus(self) -> Result<Self> {
        match self {
            Self::EachHead(norm) => norm.one_plus().map(Self::EachHead),
            Self::AllHeads(norm) => norm.one_plus().map(Self::AllHeads),
        }
    }

    fn array(&self) -> &Array {
        match self {
            Self::EachHead(norm) | Self::AllHeads(norm) => norm.array(),
        }
    }
}

/// What one pass over the layers needs besides the hidden states.
pub struct Step<'a> {
    /// Where the tokens stand.
    pub positions: &'a Positions,
    /// The sessions' caches.
    pub attend: &'a mut dyn Attend,
}

impl Attention {
    /// x [B, L, hidden] → [B, L, hidden].
    pub fn forward(&self, layer: usize, x: &Array, step: &mut Step<'_>) -> Result<Array> {
        let (batch, length) = (x.dim(0), x.dim(1));
        let [queries, keys, values] = <[Array; 3]>::try_from(self.qkv_proj.forward(x)?)
            .map_err(|_| mlx_rs::error::Exception::custom("attention needs three projections"))?;
        let queries = self.heads(&queries, self.heads, self.q_norm.as_ref(), step.positions)?;
        let keys = self.heads(&keys, self.kv_heads, self.k_norm.as_ref(), step.positions)?;
        let values = values.reshape(&[batch, length, self.kv_heads, self.head_dim])?.transpose_axes(&[0, 2, 1, 3])?;
        let output = step.attend.attend(layer, &queries, &keys, &values, self.settings)?;
        let output = output.transpose_axes(&[0, 2, 1, 3])?.reshape(&[batch, length, self.heads * self.head_dim])?;
        self.o_proj.forward(&output)
    }

    /// x [B, L, heads · head_dim] → [B, heads, L, head_dim], normed and rotated.
    fn heads(&self, x: &Array, heads: i32, norm: Option<&HeadNorm>, positions: &Positions) -> Result<Array> {
        let shape = [x.dim(0), x.dim(1), heads, self.head_dim];
        let x = match norm {
            None => x.reshape(&shape)?,
            Some(HeadNorm::EachHead(norm)) => norm.forward(&x.reshape(&shape)?)?,
            Some(HeadNorm::AllHeads(norm)) => norm.forward(x)?.reshape(&shape)?,
        };
        let x = x.transpose_axes(&[0, 2, 1, 3])?;
        match &self.rope {
            Some(rope) => rope.apply(&x, positions),
            None => Ok(x),
        }
    }

    /// The matrices.
    pub fn weights(&self) -> Vec<&Weight> {
        self.qkv_proj.weights().into_iter().chain([self.o_proj.weight()]).collect()
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        let norms = self.q_norm.iter().chain(&self.k_norm).map(HeadNorm::array);
        self.qkv_proj.arrays().into_iter().chain(self.o_proj.arrays()).chain(norms).collect()
    }
}
