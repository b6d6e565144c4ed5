//! Attention over keys and values: fused by MLX, or step by step where the architecture caps the scores.

use super::super::mlp::scalar;
use super::AttentionSettings;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::fast::{ScaledDotProductAttentionMask, scaled_dot_product_attention};
use mlx_rs::ops::{arange, select, softmax_axis, tanh};

/// Which keys a query sees.
#[derive(Debug)]
pub enum Mask {
    /// All.
    None,
    /// Those up to its own place; the last query stands at the last key.
    Causal,
    /// Bool, [L, keys] or [B, 1, L, keys].
    Array(Array),
}

/// queries [B, heads, L, head_dim], keys and values [B, kv_heads, K, head_dim] → [B, heads, L, head_dim].
pub fn attention(
    queries: &Array,
    keys: &Array,
    values: &Array,
    settings: AttentionSettings,
    mask: Mask,
) -> Result<Array> {
    match settings.softcap {
        Some(cap) => capped_attention(queries, keys, values, settings.scale, cap, mask),
        None => {
            let mask = match &mask {
                Mask::None => None,
                Mask::Causal => Some(ScaledDotProductAttentionMask::Causal),
                Mask::Array(array) => Some(ScaledDotProductAttentionMask::Array(array)),
            };
            scaled_dot_product_attention(queries, keys, values, settings.scale, mask, None)
        }
    }
}

/// Attention of one token a row: queries [B, heads, 1, head_dim], keys and values [B, kv_heads, T, head_dim], mask
/// [B, 1, 1, T] → [B, heads, 1, head_dim].
pub fn attend_one_token(
    queries: &Array,
    keys: &Array,
    values: &Array,
    mask: Option<Array>,
    settings: AttentionSettings,
) -> Result<Array> {
    let mask = mask.map_or(Mask::None, Mask::Array);
    if !settings.fold_groups {
        return attention(queries, keys, values, settings, mask);
    }
    let (rows, heads, kv_heads, head_dim) = (queries.dim(0), queries.dim(1), keys.dim(1), queries.dim(3));
    let folded = queries.reshape(&[rows, kv_heads, heads / kv_heads, head_dim])?;
    attention(&folded, keys, values, settings, mask)?.reshape(&[rows, heads, 1, head_dim])
}

/// Attention whose scores are cap · tanh(score / cap) (Gemma 2, 2024).
fn capped_attention(queries: &Array, keys: &Array, values: &Array, scale: f32, cap: f32, mask: Mask) -> Result<Array> {
    let (batch, heads, length, head_dim) = (queries.dim(0), queries.dim(1), queries.dim(2), queries.dim(3));
    let (kv_heads, places) = (keys.dim(1), keys.dim(2));
    // The query heads that share a key head become an axis of their own, over which keys and values broadcast.
    let queries = queries.multiply(scalar(scale, queries)?)?;
    let queries = queries.reshape(&[batch, kv_heads, heads / kv_heads, length, head_dim])?;
    let (keys, values) = (keys.expand_dims(2)?, values.expand_dims(2)?);
    let cap = scalar(cap, &queries)?;
    let mut scores = tanh(queries.matmul(keys.swap_axes(-1, -2)?)?.divide(&cap)?)?.multiply(cap)?;
    let seen = match mask {
        Mask::None => None,
        Mask::Causal => Some(window_mask(places - length, length, places)?),
        Mask::Array(array) if array.ndim() == 4 => Some(array.expand_dims(2)?),
        Mask::Array(array) => Some(array),
    };
    if let Some(seen) = seen {
        scores = select(seen, &scores, scalar(f32::MIN, &scores)?)?;
    }
    softmax_axis(&scores, -1, true)?.matmul(values)?.reshape(&[batch, heads, length, head_dim])
}

/// Which of the keys 0..start + count each of `count` queries from `start` on sees: bool [count, start + count].
pub fn window_mask(start: i32, count: i32, window: i32) -> Result<Array> {
    let queries = arange::<i32, i32>(start, start + count, None)?.reshape(&[count, 1])?;
    let keys = arange::<i32, i32>(0, start + count, None)?.reshape(&[1, start + count])?;
    let near = keys.gt(queries.subtract(Array::from_int(window))?)?;
    keys.le(&queries)?.logical_and(near)
}
