//! Grouped-query self-attention.

use super::cuda::{self, HeadsPlan};
use super::kernels;
use super::kv::{Attend, AttentionSettings};
use super::linear::{Linear, Projections, Weight};
use super::norm::RmsNorm;
use super::rope::{Positions, Rope};
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype};

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

/// The weights [head_dim] of the queries' and the keys' root mean square norm, and its ε.
pub type HeadNorms<'a> = (&'a Array, &'a Array, f32);

/// What one pass over the layers needs besides the hidden states.
pub struct Step<'a> {
    /// Where the tokens stand.
    pub positions: &'a Positions,
    /// The sessions' caches.
    pub attend: &'a mut dyn Attend,
}

impl Attention {
    /// x [T, hidden] → [T, hidden], for the T tokens of `step`.
    pub fn forward(&self, layer: usize, x: &Array, step: &mut Step<'_>) -> Result<Array> {
        if let (Some(linear), Some(plan)) = (self.qkv_proj.fused(), self.heads_plan(x.dtype())) {
            let output = self.attend_product(layer, &linear.forward(x)?, &plan, step)?;
            return self.o_proj.forward(&output);
        }
        let [queries, keys, values] = self.project(x, step.positions)?;
        let output = step.attend.attend(layer, &queries, &keys, &values, self.settings)?;
        self.o_proj.forward(&output)
    }

    /// x [T, (heads + 2 · kv_heads) · head_dim], the product of all three → [T, heads · head_dim].
    pub fn attend_product(&self, layer: usize, x: &Array, plan: &HeadsPlan<'_>, step: &mut Step<'_>) -> Result<Array> {
        if let Some(output) = step.attend.attend_product(layer, x, plan, self.settings)? {
            return Ok(output);
        }
        let ready = cuda::normed_and_rotated(x, step.positions.array(), plan)?;
        let [queries, keys, values] = self.parts(x, &ready)?;
        step.attend.attend(layer, &queries, &keys, &values, self.settings)
    }

    /// Queries, keys and values where a kernel made `ready` [T, heads + kv_heads, head_dim] of their product `all`.
    fn parts(&self, all: &Array, ready: &Array) -> Result<[Array; 3]> {
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        let values = self.heads(all, heads + 2 * kv_heads)?.try_index((.., heads + kv_heads..))?;
        Ok([ready.try_index((.., ..heads))?, ready.try_index((.., heads..))?, values])
    }

    /// x [T, hidden] → queries [T, heads, head_dim], keys and values [T, kv_heads, head_dim], normed and rotated.
    fn project(&self, x: &Array, positions: &Positions) -> Result<[Array; 3]> {
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        let parts = match &self.qkv_proj {
            Projections::Fused { linear, ends } => {
                let all = linear.forward(x)?;
                if let Some(ready) = self.normed_and_rotated(&all, positions) {
                    return self.parts(&all, &ready?);
                }
                if let (None, None) = (&self.q_norm, &self.k_norm) {
                    // Queries and keys are neighbours in the product and rotate together.
                    let all = self.heads(&all, heads + 2 * kv_heads)?;
                    let parts = all.split_at_indices(&[heads + kv_heads], 1)?;
                    let rotated = self.rotate(&parts[0], positions)?.split_at_indices(&[heads], 1)?;
                    return three([rotated, parts[1..].to_vec()].concat());
                }
                all.split_at_indices(ends, -1)?
            }
            Projections::Separate(_) => self.qkv_proj.forward(x)?,
        };
        let [queries, keys, values] = three(parts)?;
        let queries = self.normed(&queries, heads, self.q_norm.as_ref())?;
        let keys = self.normed(&keys, kv_heads, self.k_norm.as_ref())?;
        let values = self.heads(&values, kv_heads)?;
        Ok([self.rotate(&queries, positions)?, self.rotate(&keys, positions)?, values])
    }

    /// Queries and keys of `all` [T, (heads + 2 · kv_heads) · head_dim] by one kernel, where there is one for them.
    fn normed_and_rotated(&self, all: &Array, positions: &Positions) -> Option<Result<Array>> {
        kernels::normed_and_rotated(all, self, self.head_norms()?, self.rope.as_ref()?, positions)
    }

    /// How one kernel norms and rotates, keeps and attends the newest tokens on an NVIDIA GPU, where there is one.
    pub fn heads_plan(&self, dtype: Dtype) -> Option<HeadsPlan<'_>> {
        let rope = self.rope.as_ref()?;
        let (queries, keys, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let (frequencies, traditional) = (rope.frequencies()?, rope.is_traditional());
        let plan = HeadsPlan { queries, keys, head_dim, norms: self.head_norms()?, frequencies, traditional };
        plan.is_taken(dtype).then_some(plan)
    }

    /// The weights of the queries' and the keys' norm and its ε, where there is one; none where the kernels don't take them.
    fn head_norms(&self) -> Option<Option<HeadNorms<'_>>> {
        match (&self.q_norm, &self.k_norm) {
            (None, None) => Some(None),
            (Some(HeadNorm::EachHead(queries)), Some(HeadNorm::EachHead(keys))) if queries.eps() == keys.eps() => {
                Some(Some((queries.array(), keys.array(), keys.eps())))
            }
            _ => None,
        }
    }

    /// x [T, heads · head_dim] → [T, heads, head_dim].
    fn heads(&self, x: &Array, heads: i32) -> Result<Array> {
        x.reshape(&[x.dim(0), heads, self.head_dim])
    }

    fn normed(&self, x: &Array, heads: i32, norm: Option<&HeadNorm>) -> Result<Array> {
        match norm {
            None => self.heads(x, heads),
            Some(HeadNorm::EachHead(norm)) => norm.forward(&self.heads(x, heads)?),
            Some(HeadNorm::AllHeads(norm)) => self.heads(&norm.forward(x)?, heads),
        }
    }

    fn rotate(&self, x: &Array, positions: &Positions) -> Result<Array> {
        match &self.rope {
            Some(rope) => rope.apply(x, positions),
            None => Ok(x.clone()),
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

fn three(arrays: Vec<Array>) -> Result<[Array; 3]> {
    arrays.try_into().map_err(|_| mlx_rs::error::Exception::custom("attention needs queries, keys and values"))
}
