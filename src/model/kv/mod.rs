//! KV caches: what each layer keeps of the tokens that came before, for one session or for many at once.

mod attention;
mod own;
mod padded;
mod rows;

pub use own::{KvCache, Prefill};
pub use padded::{PaddedKvCache, Slot};
pub use rows::EachOwn;

use mlx_rs::error::Result;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::ops::{concatenate, indexing::TryIndexOp};
use mlx_rs::{Array, Dtype};

/// Caches grow by this many tokens at a time, so that a decode step rarely copies them.
const GROWTH: i32 = 256;

/// What a layer's attention wants of the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSettings {
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// How many of the newest tokens a token sees, itself included; none sees all.
    pub window: Option<i32>,
    /// Those products are squeezed into ± this, where the architecture says so.
    pub softcap: Option<f32>,
    /// Whether the query heads of one key head are attended as if they were tokens. On a CPU that makes one matrix
    /// product of several tiny ones.
    pub fold_groups: bool,
}

/// Appends a step's keys and values to the caches of its sessions and attends over all of them.
pub trait Attend {
    /// queries [B, heads, L, head_dim], keys and values [B, kv_heads, L, head_dim] → [B, heads, L, head_dim].
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array>;
}

/// One layer's keys and values: [rows, kv_heads, capacity, head_dim] each.
#[derive(Clone, Debug)]
struct LayerKv {
    keys: Array,
    values: Array,
}

impl LayerKv {
    fn capacity(&self) -> i32 {
        self.keys.dim(2)
    }

    /// Adds `count` empty places behind the last one.
    fn extend(&mut self, count: i32) -> Result<()> {
        for array in [&mut self.keys, &mut self.values] {
            *array = concatenate(&[&*array, &empty_like(array, 2, count)?], 2)?;
        }
        Ok(())
    }

    /// The tokens from `start` to `end`, as views.
    fn tokens(&self, start: i32, end: i32) -> Result<(Array, Array)> {
        Ok((self.keys.try_index((.., .., start..end, ..))?, self.values.try_index((.., .., start..end, ..))?))
    }
}

/// Zeros of the shape of `array` with `count` places along `axis`.
fn empty_like(array: &Array, axis: usize, count: i32) -> Result<Array> {
    let mut shape = array.shape().to_vec();
    shape[axis] = count;
    zeros_dtype(&shape, array.dtype())
}

/// The shape that all caches of a model share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvShape {
    /// Layers that keep keys and values.
    pub layers: usize,
    /// Key and value heads of a layer.
    pub kv_heads: i32,
    /// Width of one head.
    pub head_dim: i32,
    /// Of keys and values.
    pub dtype: Dtype,
}

impl KvShape {
    /// Bytes that one token of one session takes.
    pub fn bytes_per_token(&self) -> u64 {
        let item = if self.dtype == Dtype::Float32 { 4 } else { 2 };
        2 * item * self.layers as u64 * self.kv_heads as u64 * self.head_dim as u64
    }

    fn empty_layers(&self, rows: i32, capacity: i32) -> Result<Vec<LayerKv>> {
        let zeros = || zeros_dtype(&[rows, self.kv_heads, capacity, self.head_dim], self.dtype);
        (0..self.layers).map(|_| Ok(LayerKv { keys: zeros()?, values: zeros()? })).collect()
    }
}

/// `length` rounded up to whole growth steps.
fn rounded_up(length: i32) -> i32 {
    (length + GROWTH - 1) / GROWTH * GROWTH
}
