//! Attention over keys and values: fused by MLX, or step by step where the architecture caps the scores.

use super::super::operations::rows_of;
use super::super::pass::{AttentionSettings, Layout};
use super::device::Mlx;
use crate::model::ops::{concatenated, exponentials, scalar};
use mlx_rs::error::Result;
use mlx_rs::fast::{ScaledDotProductAttentionMask, scaled_dot_product_attention};
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{arange, concatenate, select, softmax_axis, tanh};
use mlx_rs::{Array, Dtype};
use std::ops::Range;

/// Which keys a query sees.
#[derive(Debug)]
pub enum Mask {
    /// All.
    None,
    /// Those up to its own place; the last query stands at the last key.
    Causal,
    /// Bool, `[L, keys]` or `[B, 1, L, keys]`.
    Array(Array),
}

/// queries `[B, heads, L, head_dim]`, keys and values `[B, kv_heads, K, head_dim]` → `[B, heads, L, head_dim]`.
pub fn attention(
    mlx: Mlx,
    queries: &Array,
    keys: &Array,
    values: &Array,
    settings: AttentionSettings,
    mask: Mask,
) -> Result<Array> {
    if mlx == Mlx::Cpu || settings.softcap.is_some() {
        return attention_in_steps(queries, keys, values, settings, mask);
    }
    let mask = match &mask {
        Mask::None => None,
        Mask::Causal => Some(ScaledDotProductAttentionMask::Causal),
        Mask::Array(array) => Some(ScaledDotProductAttentionMask::Array(array)),
    };
    scaled_dot_product_attention(queries, keys, values, settings.scale, mask, None)
}

/// Attention of one token a row: queries `[B, heads, head_dim]`, keys and values `[B, kv_heads, K, head_dim]`, mask
/// `[B, 1, 1, K]` → `[B, heads · head_dim]`.
pub fn attend_one_token(
    mlx: Mlx,
    queries: &Array,
    keys: &Array,
    values: &Array,
    mask: Option<Array>,
    settings: AttentionSettings,
) -> Result<Array> {
    let mask = mask.map_or(Mask::None, Mask::Array);
    let (rows, heads, kv_heads, head_dim) = (queries.dim(0), queries.dim(1), keys.dim(1), queries.dim(2));
    let shape = match mlx {
        // The query heads of one key head are attended as if they were tokens: one matrix product instead of several tiny
        // ones.
        Mlx::Cpu => [rows, kv_heads, heads / kv_heads, head_dim],
        Mlx::Gpu => [rows, heads, 1, head_dim],
    };
    attention(mlx, &queries.reshape(&shape)?, keys, values, settings, mask)?.reshape(&[rows, heads * head_dim])
}

/// Attention step by step: on a CPU, for which MLX has no kernel, and where scores become cap · tanh(score / cap)
/// (Gemma 2, 2024).
fn attention_in_steps(
    queries: &Array,
    keys: &Array,
    values: &Array,
    settings: AttentionSettings,
    mask: Mask,
) -> Result<Array> {
    let (batch, heads, length, head_dim) = (queries.dim(0), queries.dim(1), queries.dim(2), queries.dim(3));
    let (kv_heads, places) = (keys.dim(1), keys.dim(2));
    let is_grouped = heads != kv_heads;
    let mut queries = queries.multiply(scalar(settings.scale, queries)?)?;
    let (mut keys, mut values) = (keys.swap_axes(-1, -2)?, values.clone());
    if is_grouped {
        // The query heads that share a key head become an axis of their own, over which keys and values broadcast.
        queries = queries.reshape(&[batch, kv_heads, heads / kv_heads, length, head_dim])?;
        (keys, values) = (keys.expand_dims(2)?, values.expand_dims(2)?);
    }
    let mut scores = capped(queries.matmul(keys)?, settings)?;
    let seen = match mask {
        Mask::None => None,
        Mask::Causal => Some(window_mask(0, places - length, length, places)?),
        Mask::Array(array) if is_grouped && array.ndim() == 4 => Some(array.expand_dims(2)?),
        Mask::Array(array) => Some(array),
    };
    if let Some(seen) = seen {
        scores = select(seen, &scores, scalar(f32::MIN, &scores)?)?;
    }
    let output = if scores.dtype() == Dtype::Float32 {
        let shares = exponentials(&scores)?;
        shares.matmul(values)?.divide(shares.sum_axis(-1, true)?)?
    } else {
        softmax_axis(&scores, -1, true)?.matmul(values)?
    };
    if is_grouped { output.reshape(&[batch, heads, length, head_dim]) } else { Ok(output) }
}

fn capped(scores: Array, settings: AttentionSettings) -> Result<Array> {
    let Some(cap) = settings.softcap else { return Ok(scores) };
    let cap = scalar(cap, &scores)?;
    tanh(scores.divide(&cap)?)?.multiply(cap)
}

/// Neighbouring rows of a step whose sessions stand in neighbouring rooms and see equally many places.
#[derive(Clone, Debug)]
pub struct Run {
    /// Rows of the step.
    rows: Range<i32>,
    /// Rooms, counted from the step's first.
    rooms: Range<i32>,
    /// The first place that a token sees, counted from the first that any sees.
    seen: i32,
}

/// The rows of a step that may be attended at once: at most `most`, where tokens see the places from `window` on, of which
/// `first` is the first that any sees.
pub fn runs(layout: &Layout, window: i32, first: i32, most: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let rooms = layout.room_of_row.iter().map(|room| room - layout.rooms.start);
    for (row, (room, start)) in (0..).zip(rooms.zip(&layout.starts)) {
        let seen = window.max(*start) - first;
        match runs.last_mut() {
            Some(run) if run.seen == seen && run.rooms.end == room && run.rooms.len() < most.max(1) => {
                run.rooms.end += 1;
                run.rows.end += 1;
            }
            _ => runs.push(Run { rows: row..row + 1, rooms: room..room + 1, seen }),
        }
    }
    runs
}

/// [`attend_one_token`] for each run by itself, with the same bits: queries `[T, heads, head_dim]`, keys and values
/// `[rooms, kv_heads, K, head_dim]` → `[T, heads · head_dim]`.
pub fn attend_each_run(
    mlx: Mlx,
    queries: &Array,
    keys: &Array,
    values: &Array,
    runs: &[Run],
    settings: AttentionSettings,
) -> Result<Array> {
    let (width, heads, kv_heads, head_dim) = (queries.dim(0), queries.dim(1), keys.dim(1), queries.dim(2));
    let of_run = |array: &Array, run: &Run| array.try_index((run.rooms.clone(), .., run.seen.., ..));
    if mlx == Mlx::Gpu || queries.dtype() != Dtype::Float32 {
        let outputs = runs.iter().map(|run| {
            let queries = rows_of(queries, run.rows.clone())?;
            attend_one_token(mlx, &queries, &of_run(keys, run)?, &of_run(values, run)?, None, settings)
        });
        return concatenated(outputs.collect::<Result<_>>()?);
    }
    // What is done number by number is done for all runs at once.
    let queries = queries.reshape(&[width, kv_heads, heads / kv_heads, head_dim])?;
    let queries = queries.multiply(scalar(settings.scale, &queries)?)?;
    let keys = keys.swap_axes(-1, -2)?;
    let (mut outputs, mut sums) = (Vec::with_capacity(runs.len()), Vec::with_capacity(runs.len()));
    for run in runs {
        let keys = keys.try_index((run.rooms.clone(), .., .., run.seen..))?;
        let scores = capped(rows_of(&queries, run.rows.clone())?.matmul(keys)?, settings)?;
        let shares = exponentials(&scores)?;
        sums.push(shares.sum_axis(-1, true)?);
        outputs.push(shares.matmul(of_run(values, run)?)?);
    }
    concatenate(&outputs, 0)?.divide(concatenate(&sums, 0)?)?.reshape(&[width, heads * head_dim])
}

/// Which of the keys `first`..`start` + `count` each of `count` queries from `start` on sees: bool `[count, keys]`.
pub fn window_mask(first: i32, start: i32, count: i32, window: i32) -> Result<Array> {
    let queries = arange::<i32, i32>(start, start + count, None)?.reshape(&[count, 1])?;
    let keys = arange::<i32, i32>(first, start + count, None)?.reshape(&[1, start + count - first])?;
    let near = keys.gt(queries.subtract(Array::from_int(window))?)?;
    keys.le(&queries)?.logical_and(near)
}
