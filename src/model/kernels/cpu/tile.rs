//! The innermost loops: some rows by some outputs, in AVX-512's registers.
//!
//! How a number is summed up depends on its row, its column and the number of inputs, never on the tile's size.

use super::vector::LANES;
use std::arch::x86_64::*;

/// Two matrices and their product's place, each with its stride: numbers from one row to the next.
#[derive(Clone, Copy)]
pub struct Operands {
    pub x: *const f32,
    pub x_stride: usize,
    pub weight: *const f32,
    pub weight_stride: usize,
    pub result: *mut f32,
    pub result_stride: usize,
    pub inputs: usize,
}

/// Memory to ask for while a tile computes: `lines` cache lines for each register's worth of inputs.
#[derive(Clone, Copy)]
pub struct Ahead {
    pub from: *const f32,
    pub lines: usize,
}

/// ROWS rows of x by OUTPUTS rows of a weight `[outputs, inputs]`: sixteen partial sums each, over every sixteenth input,
/// which are added in pairs at the end.
///
/// # Safety
/// The processor must support it, and the operands hold so many rows.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
pub unsafe fn outputs_first<const ROWS: usize, const OUTPUTS: usize>(operands: Operands, ahead: Ahead) {
    let Operands { result, result_stride, inputs, .. } = operands;
    let mut sums = [[_mm512_setzero_ps(); ROWS]; OUTPUTS];
    let mut line = ahead.from;
    let mut at = 0;
    while at + LANES <= inputs {
        for _ in 0..ahead.lines {
            // A hint: it may point anywhere.
            _mm_prefetch::<_MM_HINT_T0>(line.cast());
            line = line.wrapping_add(LANES);
        }
        // SAFETY: as the caller vouches.
        unsafe { add_products(&mut sums, operands, at, u16::MAX) };
        at += LANES;
    }
    if at < inputs {
        // SAFETY: as the caller vouches.
        unsafe { add_products(&mut sums, operands, at, (1 << (inputs - at)) - 1) };
    }
    for row in 0..ROWS {
        for output in (0..OUTPUTS).step_by(4) {
            let mut four = [_mm512_setzero_ps(); 4];
            for (place, sums) in four.iter_mut().zip(&sums[output..]) {
                *place = sums[row];
            }
            let mask = (1_u16 << (OUTPUTS - output).min(4)) - 1;
            // SAFETY: row and output are within the result; masked lanes are not written.
            unsafe {
                let place = result.add(row * result_stride + output);
                _mm512_mask_storeu_ps(place, mask, _mm512_castps128_ps512(added_up(four)));
            }
        }
    }
}

/// Adds the products of a register's worth of inputs from `at` on, those in `mask`.
///
/// # Safety
/// As [`outputs_first`].
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
unsafe fn add_products<const ROWS: usize, const OUTPUTS: usize>(
    sums: &mut [[__m512; ROWS]; OUTPUTS],
    operands: Operands,
    at: usize,
    mask: u16,
) {
    let Operands { x, x_stride, weight, weight_stride, .. } = operands;
    let mut of_rows = [_mm512_setzero_ps(); ROWS];
    for (row, of_row) in of_rows.iter_mut().enumerate() {
        // SAFETY: row and inputs are within x; masked lanes are not read.
        *of_row = unsafe { _mm512_maskz_loadu_ps(mask, x.add(row * x_stride + at)) };
    }
    for (output, sums) in sums.iter_mut().enumerate() {
        // SAFETY: output and inputs are within the weight; masked lanes are not read.
        let weights = unsafe { _mm512_maskz_loadu_ps(mask, weight.add(output * weight_stride + at)) };
        for (sum, of_row) in sums.iter_mut().zip(of_rows) {
            *sum = _mm512_fmadd_ps(of_row, weights, *sum);
        }
    }
}

/// ROWS rows of x by up to 16 · REGISTERS columns of a weight `[inputs, outputs]`, the last register's under `mask`: each
/// number is summed up input by input.
///
/// # Safety
/// The processor must support it, and the operands hold so many rows and columns.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
pub unsafe fn inputs_first<const ROWS: usize, const REGISTERS: usize>(operands: Operands, mask: u16) {
    let Operands { x, x_stride, weight, weight_stride, result, result_stride, inputs } = operands;
    let mask_of = |register: usize| if register + 1 == REGISTERS { mask } else { u16::MAX };
    let mut sums = [[_mm512_setzero_ps(); REGISTERS]; ROWS];
    for input in 0..inputs {
        let mut weights = [_mm512_setzero_ps(); REGISTERS];
        for (register, weights) in weights.iter_mut().enumerate() {
            // SAFETY: input and columns are within the weight; masked lanes are not read.
            *weights = unsafe {
                _mm512_maskz_loadu_ps(mask_of(register), weight.add(input * weight_stride + register * LANES))
            };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row and input are within x.
            let of_row = unsafe { _mm512_set1_ps(*x.add(row * x_stride + input)) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_fmadd_ps(of_row, weights, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (register, sum) in sums.iter().enumerate() {
            // SAFETY: row and columns are within the result; masked lanes are not written.
            unsafe {
                let place = result.add(row * result_stride + register * LANES);
                _mm512_mask_storeu_ps(place, mask_of(register), *sum);
            }
        }
    }
}

/// Each register's numbers added up.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
fn added_up(registers: [__m512; 4]) -> __m128 {
    let halves =
        |register: __m512| _mm256_add_ps(_mm512_castps512_ps256(register), _mm512_extractf32x8_ps::<1>(register));
    let [a, b, c, d] = registers.map(halves);
    let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs))
}
