//! Each row's newest token, from its queries', keys' and values' product to the product after its attention.

use super::attend::THREADS;
use super::kernel::{Constant, Grid, Kernel, Source};
use super::{HeadsPlan, attends};
use mlx_rs::error::Result;
use mlx_rs::ops::broadcast_to;
use mlx_rs::{Array, Dtype};

const NEWEST: Source = Source {
    name: c"newest",
    inputs: &[c"x", c"keys", c"values", c"spans", c"clock", c"query_norm", c"key_norm", c"frequencies"],
    output: c"attended",
    headers: &[include_str!("attend.cuh"), include_str!("heads.cuh"), include_str!("newest.cuh")],
    body: c"const int row = blockIdx.y, key_head = blockIdx.x / (HEADS / KEYS), room = spans[2 * row];
        T* output = attended + (static_cast<long>(row) * HEADS + blockIdx.x) * D;
        if (room < 0) {
          for (int index = threadIdx.x; index < D; index += blockDim.x) {
            output[index] = static_cast<T>(0.0f);
          }
          return;
        }
        const int end = clock_shape[0], first = clock_shape[1] - 1, start = spans[2 * row + 1];
        llmeval::attend_newest<HEADS, KEYS, D, ROTATED, TRADITIONAL, NORMED, T>(
            x + static_cast<long>(row) * (HEADS + 2 * KEYS) * D, query_norm, key_norm, end - 1 - start, frequencies,
            __int_as_float(EPSILON),
            {keys + room * keys_strides[0] + key_head * keys_strides[1], keys_strides[2]},
            {values + room * values_strides[0] + key_head * values_strides[1], values_strides[2]},
            output, max(start, WINDOW > 0 ? end - WINDOW : 0) - first, end - first, __int_as_float(SCALE));",
    contiguous: false,
};

thread_local! {
    static KERNEL: Kernel = Kernel::new(&NEWEST);
}

/// How far the sessions of a step have come, their newest tokens included. The kernel takes this as the shape of an array without
/// contents: so the host writes nothing that the device would have to fetch in every step.
#[derive(Clone, Debug)]
pub struct Clock(Array);

impl Clock {
    /// All sessions' newest tokens stand at place `end` − 1, and the cache holds the places from `first` on.
    pub fn new(end: i32, first: i32) -> Result<Self> {
        Ok(Self(broadcast_to(Array::from_int(0), &[end, first + 1])?))
    }
}

/// One layer's cache and who is where in it.
#[derive(Debug)]
pub struct NewestPlan<'a> {
    /// [rooms, kv_heads, places, head_dim]. The newest tokens' keys and values are **written into them**: nobody else may
    /// hold these arrays' memory and read places from the clock's end on.
    pub keys: &'a Array,
    /// As `keys`.
    pub values: &'a Array,
    /// i32 [rows, 2]: each row's room and its session's first place; room −1 for padding, which gets zeros.
    pub spans: &'a Array,
    /// How far the sessions have come.
    pub clock: &'a Clock,
    /// How many of the newest tokens a token sees; none sees all.
    pub window: Option<i32>,
    /// Factor of the products of queries and keys.
    pub scale: f32,
}

/// Whether such heads are attended here.
pub fn attends_newest(plan: &HeadsPlan<'_>, dtype: Dtype) -> bool {
    plan.is_taken(dtype) && attends(plan.head_dim, dtype)
}

/// x [rows, (queries + 2 · keys) · head_dim], one token a row → [rows, queries · head_dim]: normed, rotated, kept in the
/// cache and attended.
pub fn attend_newest(x: &Array, heads: &HeadsPlan<'_>, plan: &NewestPlan<'_>) -> Result<Array> {
    let HeadsPlan { queries, keys, head_dim, norms, frequencies, traditional } = *heads;
    let rows = x.dim(0);
    // Without norms nobody reads their weights.
    let (query_norm, key_norm, epsilon) = norms.unwrap_or((x, x, 0.0));
    let constants = [
        (c"HEADS", Constant::Number(queries)),
        (c"KEYS", Constant::Number(keys)),
        (c"D", Constant::Number(head_dim)),
        (c"ROTATED", Constant::Number(2 * frequencies.dim(0))),
        (c"TRADITIONAL", Constant::Number(traditional.into())),
        (c"NORMED", Constant::Number(norms.is_some().into())),
        (c"WINDOW", Constant::Number(plan.window.unwrap_or(0))),
        (c"EPSILON", Constant::Number(epsilon.to_bits() as i32)),
        (c"SCALE", Constant::Number(plan.scale.to_bits() as i32)),
        (c"T", Constant::Type(x.dtype())),
    ];
    let inputs = [x, plan.keys, plan.values, plan.spans, &plan.clock.0, query_norm, key_norm, frequencies];
    let grid = Grid { blocks: [queries, rows], threads: THREADS };
    KERNEL.with(|kernel| kernel.apply(&inputs, &constants, &grid, &[rows, queries * head_dim], x.dtype()))
}
