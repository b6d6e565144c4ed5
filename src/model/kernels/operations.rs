//! What a device may do its own way: the operations that layers, caches and sampling ask for.

use super::allocate::Allocate;
use super::around::{Around, Norm, Then};
use super::heads::{HeadNorms, Heads};
use super::matrix::Matrix;
use super::memory::KvMemory;
use super::pass::{AttentionSettings, Rows};
use super::rotation::{Positions, Rotation};
use crate::model::ops::Activation;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype};
use std::ops::Range;

/// The operations of a model's layers on one device.
///
/// `Mlx` is the reference: everything by MLX's own operations. A device's own kernels cover what they do
/// better and leave the rest to it; tests compare each of them with the reference. Which of them serve is chosen once, as
/// a model is loaded, and handed down from there.
pub trait Kernels: Allocate {
    /// What they are called in reports and tests.
    fn name(&self) -> &'static str;

    /// What caches and steps may count on.
    fn promises(&self) -> Promises;

    /// A dense weight `[out, in]`, or a stack of them `[experts, out, in]`, as products take it fastest.
    fn dense(&self, weight: &Array) -> Result<Matrix> {
        Matrix::dense(weight)
    }

    /// x Wᵀ + b: x `[rows, in]`, `bias` `[out]` → `[rows, out]`.
    fn multiply(&self, x: &Array, matrix: &Matrix, bias: Option<&Array>) -> Result<Array>;

    /// [`Kernels::multiply`] together with what stands around it: x `[rows, in]` → `[rows, out]`, or half of it with a gate.
    fn product(&self, x: &Array, matrix: &Matrix, around: Around<'_>) -> Result<Array> {
        product_in_steps(self, x, matrix, around)
    }

    /// x Wᵀ with the matrix of a stack that `experts` `[.., k]` names: x `[.., 1 or k, 1, in]` → `[.., k, 1, out]`.
    fn product_of_experts(&self, x: &Array, stack: &Matrix, experts: &Array) -> Result<Array>;

    /// Whether products with the stack are right every time.
    fn is_reliable(&self, _stack: &Matrix) -> bool {
        true
    }

    /// Rows `ids` (u32 `[n]`) of W, unpacked: `[n, in]`.
    fn rows_of(&self, matrix: &Matrix, ids: &Array) -> Result<Array>;

    /// x / rms(x) · weight over the last axis (Zhang and Sennrich 2019).
    fn rms_norm(&self, x: &Array, norm: Norm<'_>) -> Result<Array>;

    /// The activation of a row's first half times its second: x `[rows, 2 · inner]` → `[rows, inner]`.
    fn gated(&self, x: &Array, activation: Activation) -> Result<Array>;

    /// x `[T, heads, head_dim]`, rotated by the tokens' positions.
    fn rotate(&self, x: &Array, rotation: &Rotation, positions: &Positions) -> Result<Array>;

    /// The product x `[T, (queries + 2 · keys) · head_dim]` → queries `[T, queries, head_dim]`, keys and values
    /// `[T, keys, head_dim]`; queries and keys are normed and rotated.
    fn heads(&self, x: &Array, heads: &Heads<'_>, positions: &Positions) -> Result<[Array; 3]> {
        heads_in_steps(self, x, heads, positions)
    }

    /// The product x `[T, (queries + 2 · keys) · head_dim]` of the tokens in `rows`: normed and rotated, their keys and values
    /// written into `memories`, each token attended over the places that it sees → `[T, queries · head_dim]`. Rows of
    /// padding get zeros. The memories have room for the tokens, and what is written is theirs alone.
    fn attend(
        &self,
        x: &Array,
        heads: &Heads<'_>,
        positions: &Positions,
        memories: &mut [&mut KvMemory],
        rows: &Rows,
        settings: AttentionSettings,
    ) -> Result<Array>;

    /// Whether a row's attention may be asked of any neighbours at once and still give it the bits that it gets alone; the
    /// probe tries it before exact execution counts on it.
    fn attends_any_lengths(&self, heads: &Heads<'_>, dtype: Dtype, settings: AttentionSettings) -> bool;

    /// How many rows to compute where `rows` are wanted: where more of them take less time, more.
    fn comfortable_width(&self, rows: usize) -> usize {
        rows
    }
}

/// What caches and steps may count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// Tokens are written into caches of their sessions' own and attended there, of any number of sessions and any
    /// lengths at once; else sessions that step together share a cache.
    pub attends_own_caches: bool,
    /// Kernels write into memory that MLX takes for unchangeable, so a cache's memory is nobody else's.
    pub writes_in_place: bool,
    /// Memory that is set aside takes nothing before it is written, so room is made for a whole prompt at once.
    pub sets_memory_aside: bool,
    /// The first layers are computed while the others' operations are still being put together.
    pub starts_early: bool,
    /// Kernels are compiled or loaded when they are first used.
    pub needs_warm_up: bool,
}

/// The arrays that an operation gave, as many as it was asked for.
pub(super) fn exactly<const N: usize>(arrays: Vec<Array>) -> Result<[Array; N]> {
    arrays.try_into().map_err(|_| mlx_rs::error::Exception::custom("an operation gave another number of arrays"))
}

/// Rows `range` of an array, which is the array itself where that is all of them.
pub(super) fn rows_of(array: &Array, range: Range<i32>) -> Result<Array> {
    if range == (0..array.dim(0)) { Ok(array.clone()) } else { array.try_index(range) }
}

/// [`Kernels::product`] by the operations that it is made of.
pub(super) fn product_in_steps<K: Kernels + ?Sized>(
    kernels: &K,
    x: &Array,
    matrix: &Matrix,
    around: Around<'_>,
) -> Result<Array> {
    let normed = around.norm.map(|norm| kernels.rms_norm(x, norm)).transpose()?;
    let product = kernels.multiply(normed.as_ref().unwrap_or(x), matrix, around.bias)?;
    match around.then {
        Then::Nothing => Ok(product),
        Then::Gate(activation) => kernels.gated(&product, activation),
        Then::Add(added) => added.add(product),
    }
}

/// [`Kernels::heads`] by the operations that it is made of.
pub(super) fn heads_in_steps<K: Kernels + ?Sized>(
    kernels: &K,
    x: &Array,
    heads: &Heads<'_>,
    positions: &Positions,
) -> Result<[Array; 3]> {
    let (queries, keys) = (heads.queries, heads.keys);
    let rotate = |x: Array| match heads.rotation {
        Some(rotation) => kernels.rotate(&x, rotation, positions),
        None => Ok(x),
    };
    if let HeadNorms::None = heads.norms {
        // Queries and keys are neighbours in the product and rotate together.
        let all = heads.apart(x, queries + 2 * keys)?;
        let parts = all.split_at_indices(&[queries + keys], 1)?;
        let [both, values] = exactly(parts)?;
        let [queries, keys] = exactly(rotate(both)?.split_at_indices(&[queries], 1)?)?;
        return Ok([queries, keys, values]);
    }
    let ends = [queries * heads.head_dim, (queries + keys) * heads.head_dim];
    let [of_queries, of_keys, of_values] = exactly(x.split_at_indices(&ends, -1)?)?;
    let (of_queries, of_keys) = match heads.norms {
        HeadNorms::None => (heads.apart(&of_queries, queries)?, heads.apart(&of_keys, keys)?),
        HeadNorms::EachHead([first, second]) => (
            kernels.rms_norm(&heads.apart(&of_queries, queries)?, first)?,
            kernels.rms_norm(&heads.apart(&of_keys, keys)?, second)?,
        ),
        HeadNorms::AllHeads([first, second]) => (
            heads.apart(&kernels.rms_norm(&of_queries, first)?, queries)?,
            heads.apart(&kernels.rms_norm(&of_keys, second)?, keys)?,
        ),
    };
    Ok([rotate(of_queries)?, rotate(of_keys)?, heads.apart(&of_values, keys)?])
}
