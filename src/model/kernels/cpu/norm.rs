//! Root mean square norm of rows.

use super::operand::{Numbers, Operand};
use super::operation::{Work, operation};
use super::team;
use super::vector::{LANES, mask, sum_of_squares};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::arch::x86_64::*;

struct RmsNorm {
    eps: f32,
}

/// x / rms(x) · weight: x `[rows, dim]`, weight `[dim]` → `[rows, dim]`.
pub fn rms_norm(x: &Array, weight: &Array, eps: f32) -> Result<Array> {
    operation(RmsNorm { eps }, &[x, weight], x.shape())
}

impl Work for RmsNorm {
    fn compute(&self, inputs: &[Operand<'_>], output: Numbers) {
        let (count, dim) = (inputs[0].dim(0), inputs[0].dim(1));
        let (mut copy_of_x, mut copy_of_weight) = (Vec::new(), Vec::new());
        let (x, weight) = (inputs[0].view(&mut copy_of_x), inputs[1].view(&mut copy_of_weight));
        team::share_rows(count, dim, &|row| {
            // SAFETY: the row is within x and the output, and nobody else writes it.
            unsafe { norm(x.at(&[row]), weight.at(&[]), output.at(row * dim), dim, self.eps) };
        });
    }
}

/// One row's norm.
///
/// # Safety
/// All must have `dim` numbers.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
pub unsafe fn norm(x: *const f32, weight: *const f32, output: *mut f32, dim: usize, eps: f32) {
    // SAFETY: as the caller vouches; masked lanes are neither read nor written.
    unsafe {
        let factor = _mm512_set1_ps(1.0 / (sum_of_squares(x, dim) / dim as f32 + eps).sqrt());
        for at in (0..dim).step_by(LANES) {
            let mask = mask(at, dim);
            let x = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x.add(at)), factor);
            let weight = _mm512_maskz_loadu_ps(mask, weight.add(at));
            _mm512_mask_storeu_ps(output.add(at), mask, _mm512_mul_ps(x, weight));
        }
    }
}
