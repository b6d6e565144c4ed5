//! Functions of sixteen numbers at once, and of rows of them.

use std::arch::x86_64::*;

/// Numbers of a register.
pub const LANES: usize = 16;

/// The lanes that are left of `count` numbers from `at` on.
pub fn mask(at: usize, count: usize) -> u16 {
    if count - at >= LANES { u16::MAX } else { (1 << (count - at)) - 1 }
}

/// e to the power of each number, to within two units in the last place: 2 to the power of a whole number times a
/// polynomial (Cephes' expf, Moshier 1989).
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
pub fn exp(x: __m512) -> __m512 {
    let x = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(100.0)), _mm512_set1_ps(-103.9));
    let whole = _mm512_roundscale_ps::<8>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, the first of few enough bits to be multiplied exactly.
    let rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693_359_4), x);
    let rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(-2.121_944_4e-4), rest);
    let mut sum = _mm512_set1_ps(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(coefficient));
    }
    let one_and_rest = _mm512_add_ps(rest, _mm512_set1_ps(1.0));
    _mm512_scalef_ps(_mm512_fmadd_ps(sum, _mm512_mul_ps(rest, rest), one_and_rest), whole)
}

/// The hyperbolic tangent of each number: 1 − 2 / (e²ˣ + 1), to within 2⁻²³.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
pub fn tanh(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let power = exp(_mm512_add_ps(x, x));
    _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0), _mm512_add_ps(power, one)))
}

/// Sixteen numbers added up, each half to the other.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
pub fn sum(x: __m512) -> f32 {
    let eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// The sum of the squares of `count` numbers.
///
/// # Safety
/// There must be so many.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
#[inline]
pub unsafe fn sum_of_squares(x: *const f32, count: usize) -> f32 {
    let mut squares = _mm512_setzero_ps();
    for at in (0..count).step_by(LANES) {
        // SAFETY: masked lanes are not read.
        let x = unsafe { _mm512_maskz_loadu_ps(mask(at, count), x.add(at)) };
        squares = _mm512_fmadd_ps(x, x, squares);
    }
    sum(squares)
}
