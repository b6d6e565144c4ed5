//! Random numbers that probes ask with.

use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype, random};

/// Numbers between −1 and 1.
pub fn noise(shape: &[i32], seed: u64, dtype: Dtype) -> Result<Array> {
    random::uniform::<_, f32>(-1.0, 1.0, shape, &random::key(seed)?)?.as_dtype(dtype)
}
