//! What stands between the products of a gated MLP.

use super::operand::{Numbers, Operand};
use super::operation::{Work, operation};
use super::team;
use super::vector::{LANES, exp, mask};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::arch::x86_64::*;

struct Gated;

/// SiLU of a row's first half times its second: x `[rows, 2 · inner]` → `[rows, inner]`.
pub fn gated(x: &Array) -> Result<Array> {
    operation(Gated, &[x], &[x.dim(0), x.dim(1) / 2])
}

impl Work for Gated {
    fn compute(&self, inputs: &[Operand<'_>], output: Numbers) {
        let (count, inner) = (inputs[0].dim(0), inputs[0].dim(1) / 2);
        let mut copy = Vec::new();
        let x = inputs[0].view(&mut copy);
        team::share_rows(count, inner, &|row| {
            let x = x.at(&[row]);
            // SAFETY: the row is within x and the output, and nobody else writes it.
            unsafe { gate(x, x.add(inner), output.at(row * inner), inner) };
        });
    }
}

/// # Safety
/// Both halves and the output must have so many numbers.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
unsafe fn gate(gate: *const f32, up: *const f32, output: *mut f32, count: usize) {
    for at in (0..count).step_by(LANES) {
        let mask = mask(at, count);
        // SAFETY: masked lanes are neither read nor written.
        unsafe {
            let gate = _mm512_maskz_loadu_ps(mask, gate.add(at));
            let up = _mm512_maskz_loadu_ps(mask, up.add(at));
            let one_and_power = _mm512_add_ps(_mm512_set1_ps(1.0), exp(_mm512_sub_ps(_mm512_setzero_ps(), gate)));
            _mm512_mask_storeu_ps(output.add(at), mask, _mm512_mul_ps(_mm512_div_ps(gate, one_and_power), up));
        }
    }
}
