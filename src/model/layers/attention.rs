//! Grouped-query self-attention.

use super::forward::Forward;
use super::linear::{Linear, Projections};
use super::norm::RmsNorm;
use crate::model::kernels::{self, AttentionSettings, Heads, Norm, Rotation};
use mlx_rs::Array;
use mlx_rs::error::Result;

/// A layer's self-attention; names as in the checkpoint's `self_attn`.
#[derive(Debug)]
pub struct Attention {
    /// `q_proj`, `k_proj` and `v_proj`.
    pub qkv_proj: Projections,
    /// Back to the residual stream.
    pub o_proj: Linear,
    /// Norms of queries and keys.
    pub norms: HeadNorms,
    /// None in layers without positions.
    pub rotation: Option<Rotation>,
    /// Query heads.
    pub heads: i32,
    /// Key and value heads.
    pub kv_heads: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// Scale and window.
    pub settings: AttentionSettings,
}

/// Norms of queries and keys, where the architecture has any.
#[derive(Debug)]
pub enum HeadNorms {
    /// None.
    None,
    /// Each head by itself; the weights have head_dim entries, which all heads share.
    EachHead {
        /// Of the queries.
        q_norm: RmsNorm,
        /// Of the keys.
        k_norm: RmsNorm,
    },
    /// All heads as one vector.
    AllHeads {
        /// Of the queries.
        q_norm: RmsNorm,
        /// Of the keys.
        k_norm: RmsNorm,
    },
}

impl HeadNorms {
    /// As kernels take them.
    fn norms(&self) -> kernels::HeadNorms<'_> {
        match self {
            Self::None => kernels::HeadNorms::None,
            Self::EachHead { q_norm, k_norm } => kernels::HeadNorms::EachHead([q_norm.norm(), k_norm.norm()]),
            Self::AllHeads { q_norm, k_norm } => kernels::HeadNorms::AllHeads([q_norm.norm(), k_norm.norm()]),
        }
    }

    fn arrays(&self) -> Vec<&Array> {
        match self {
            Self::None => Vec::new(),
            Self::EachHead { q_norm, k_norm } | Self::AllHeads { q_norm, k_norm } => {
                vec![q_norm.array(), k_norm.array()]
            }
        }
    }
}

impl Attention {
    /// x `[T, hidden]`, normed before → `[T, heads · head_dim]`, for the T tokens of `forward`; `o_proj` is still to come.
    pub fn attend(
        &self,
        layer: usize,
        x: &Array,
        norm: Option<Norm<'_>>,
        forward: &mut Forward<'_, '_>,
    ) -> Result<Array> {
        let all = self.qkv_proj.forward(forward.kernels, x, norm)?;
        forward.pass.attend(forward.kernels, layer, &all, &self.heads(), forward.positions, self.settings)
    }

    /// The heads as kernels take them.
    pub fn heads(&self) -> Heads<'_> {
        Heads {
            queries: self.heads,
            keys: self.kv_heads,
            head_dim: self.head_dim,
            norms: self.norms.norms(),
            rotation: self.rotation.as_ref(),
        }
    }

    /// The arrays to evaluate.
    pub fn arrays(&self) -> Vec<&Array> {
        self.qkv_proj.arrays().into_iter().chain(self.o_proj.arrays()).chain(self.norms.arrays()).collect()
    }
}
