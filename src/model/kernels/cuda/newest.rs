//! Each row's newest token, from its queries', keys' and values' product to the product after its attention.

use super::attend::THREADS;
use super::heads::HeadsPlan;
use super::kernel::{Constant, Grid, Kernel, Source};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::broadcast_to;
use std::cell::RefCell;
use std::collections::VecDeque;

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

/// How far the sessions of a step have come, their newest tokens included. The kernel takes this as the shape of an array without
/// contents: so the host writes nothing that the device would have to fetch in every step.
#[derive(Clone, Debug)]
pub(super) struct Clock(Array);

impl Clock {
    /// All sessions' newest tokens stand at place `end` − 1, and the cache holds the places from `first` on.
    pub fn new(end: i32, first: i32) -> Result<Self> {
        Ok(Self(broadcast_to(Array::from_int(0), &[end, first + 1])?))
    }
}

/// One layer's cache and who is where in it.
#[derive(Debug)]
pub(super) struct NewestPlan<'a> {
    /// Keys and values `[rooms, kv_heads, places, head_dim]`, into which the newest tokens' are written.
    pub held: [&'a Array; 2],
    /// i32 `[rows, 2]`: each row's room and its session's first place; room −1 for padding, which gets zeros.
    pub spans: &'a Array,
    /// How far the sessions have come.
    pub clock: &'a Clock,
    /// How many of the newest tokens a token sees; none sees all.
    pub window: Option<i32>,
    /// Factor of the products of queries and keys.
    pub scale: f32,
}

/// The kernel, and what it is told besides the caches: most of that is the same for all layers and for many steps.
#[derive(Debug)]
pub(super) struct Newest {
    kernel: Kernel,
    spans: RefCell<VecDeque<(Vec<i32>, Array)>>,
    clocks: RefCell<VecDeque<([i32; 2], Clock)>>,
}

/// As many caches take turns within one step at most, in most runs.
const MOST_KNOWN: usize = 8;

impl Newest {
    pub fn new() -> Self {
        Self { kernel: Kernel::new(&NEWEST), spans: RefCell::default(), clocks: RefCell::default() }
    }

    /// Each row's room and its session's first place, followed by padding up to `width` rows.
    pub fn spans(&self, rows: impl Iterator<Item = (i32, i32)>, width: i32) -> Result<Array> {
        let mut numbers: Vec<i32> = rows.flat_map(|(room, start)| [room, start]).collect();
        while numbers.len() < 2 * width as usize {
            numbers.extend([-1, 0]);
        }
        known(&self.spans, numbers, |numbers| Ok(Array::from_slice(numbers, &[width, 2])))
    }

    /// See [`Clock::new`].
    pub fn clock(&self, end: i32, first: i32) -> Result<Clock> {
        known(&self.clocks, [end, first], |_| Clock::new(end, first))
    }

    /// x `[rows, (queries + 2 · keys) · head_dim]`, one token a row → `[rows, queries · head_dim]`: normed, rotated, kept in the
    /// cache and attended.
    ///
    /// # Safety
    /// The rooms and places must lie within the cache, and nobody else may see the places from the clock's end − 1 on, now or
    /// until the operation has been computed.
    pub unsafe fn apply(&self, x: &Array, heads: &HeadsPlan<'_>, plan: &NewestPlan<'_>) -> Result<Array> {
        let HeadsPlan { queries, keys, head_dim, norms, frequencies, traditional } = *heads;
        let rows = x.dim(0);
        let (query_norm, key_norm, epsilon) = heads.norm_inputs(x);
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
        let [held_keys, held_values] = plan.held;
        let inputs = [x, held_keys, held_values, plan.spans, &plan.clock.0, query_norm, key_norm, frequencies];
        let grid = Grid { blocks: [queries, rows], threads: THREADS };
        self.kernel.apply(&inputs, &constants, &grid, &[rows, queries * head_dim], x.dtype())
    }
}

/// What stands beside `key`, made where it is new; the oldest goes where too many are known.
fn known<K: PartialEq, V: Clone>(
    all: &RefCell<VecDeque<(K, V)>>,
    key: K,
    make: impl FnOnce(&K) -> Result<V>,
) -> Result<V> {
    let mut all = all.borrow_mut();
    if let Some((_, value)) = all.iter().find(|(known, _)| *known == key) {
        return Ok(value.clone());
    }
    let value = make(&key)?;
    all.truncate(MOST_KNOWN - 1);
    all.push_front((key, value.clone()));
    Ok(value)
}
