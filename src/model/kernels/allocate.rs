//! Memory for keys and values, as a device sets it aside.

use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, concatenate, zeros_dtype};
use mlx_rs::{Array, Dtype};
use std::fmt::Debug;

/// Makes memory for keys and values.
pub trait Allocate: Debug {
    /// Memory of such a shape; what it holds is not read before it is written.
    fn memory(&self, shape: &[i32], dtype: Dtype) -> Result<Array> {
        zeros_dtype(shape, dtype)
    }

    /// `kept` `[rooms, kv_heads, tokens, head_dim]` in memory of its own with room for `places` places.
    fn with_room(&self, kept: &Array, places: i32) -> Result<Array> {
        let mut shape = kept.shape().to_vec();
        shape[2] = places - kept.dim(2);
        let zeros = Array::from_f32(0.0).as_dtype(kept.dtype())?;
        concatenate(&[kept, &broadcast_to(zeros, &shape)?], 2)
    }
}
