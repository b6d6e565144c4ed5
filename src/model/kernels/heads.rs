//! A layer's attention heads in figures: what is done to queries and keys between their product and their attention.

use super::around::Norm;
use super::rotation::Rotation;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;

/// The heads that are in one product.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// Query heads.
    pub queries: i32,
    /// Key heads, and value heads.
    pub keys: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// How they are normed.
    pub norms: HeadNorms<'a>,
    /// How queries and keys are rotated; none in layers without positions.
    pub rotation: Option<&'a Rotation>,
}

/// Norms of the queries and of the keys.
#[derive(Clone, Copy, Debug)]
pub enum HeadNorms<'a> {
    /// None.
    None,
    /// Each head by itself; the weights have head_dim entries, which all heads share.
    EachHead([Norm<'a>; 2]),
    /// All heads as one vector.
    AllHeads([Norm<'a>; 2]),
}

impl Heads<'_> {
    /// x `[T, heads · head_dim]` → `[T, heads, head_dim]`.
    pub fn apart(&self, x: &Array, heads: i32) -> Result<Array> {
        x.reshape(&[x.dim(0), heads, self.head_dim])
    }

    /// Queries, keys and values where `ready` `[T, queries + keys, head_dim]` was made of their product x.
    pub fn with_values_of(&self, x: &Array, ready: &Array) -> Result<[Array; 3]> {
        let (queries, keys) = (self.queries, self.keys);
        let values = self.apart(x, queries + 2 * keys)?.try_index((.., queries + keys..))?;
        Ok([ready.try_index((.., ..queries))?, ready.try_index((.., queries..))?, values])
    }
}
