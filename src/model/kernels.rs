//! Kernels of our own where this device has any: for NVIDIA's GPUs those in cuda, for processors with AVX-512 those in
//! cpu. Each gives a row the same bits beside any others. Where there is none, MLX's operations do the work.

use super::attention::{Attention, HeadNorms};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use super::cpu;
use super::cuda;
use super::rope::{Positions, Rope};
use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};

/// What a row sees: places of one room of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The room.
    pub room: i32,
    /// The first place.
    pub start: i32,
    /// The place behind the last.
    pub end: i32,
}

impl Span {
    /// What a row of padding sees: nothing.
    pub const NOTHING: Self = Self { room: 0, start: 0, end: 0 };
}

/// Up to so many pairs of token and place each token of a prompt is attended by itself on a GPU: MLX's kernel plans anew for
/// every length, which takes 77 ms on an H100. Where the two cross is an estimate.
const MOST_PAIRS_ON_GPU: i32 = 1 << 18;

/// Whether dense products have the same bits for a row in any number of rows.
pub fn has_dense_products() -> bool {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return cpu::is_available();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    return false;
}

/// x Wᵀ: x [rows, in], W transposed [in, out] → [rows, out].
pub fn dense_product(x: &Array, transposed: &Array) -> Option<Result<Array>> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if cpu::computes(x) && x.ndim() == 2 && transposed.ndim() == 2 {
        return Some(cpu::product(x, &transposed.t()));
    }
    if !cuda::is_available() || transposed.ndim() != 2 {
        return None;
    }
    let matrix = cuda::Matrix::dense(&transposed.t()).filter(|matrix| matrix.takes(x))?;
    Some(matrix.product(x, cuda::Around::Nothing))
}

/// SiLU of a row's first half times its second: x [rows, 2 · inner] → [rows, inner].
pub fn gated(x: &Array) -> Option<Result<Array>> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if cpu::computes(x) && x.ndim() == 2 {
        return Some(cpu::gated(x));
    }
    cuda::gates(x).then(|| cuda::gated(x))
}

/// x / rms(x) · weight: x [rows, dim], weight [dim] → [rows, dim].
pub fn rms_norm(x: &Array, weight: &Array, eps: f32) -> Option<Result<Array>> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if cpu::computes(x) && x.ndim() == 2 {
        return Some(cpu::rms_norm(x, weight, eps));
    }
    let _ = (x, weight, eps);
    None
}

/// x [rows, (queries + 2 · keys) · head_dim] → its queries and keys [rows, queries + keys, head_dim], normed and rotated. On
/// an NVIDIA GPU [`cuda::normed_and_rotated`] does that as a part of attention.
pub fn normed_and_rotated(
    x: &Array,
    attention: &Attention,
    norms: Option<HeadNorms<'_>>,
    rope: &Rope,
    positions: &Positions,
) -> Option<Result<Array>> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if cpu::computes(x)
        && let Some((cosines, sines)) = rope.table(positions)
    {
        let plan = cpu::Heads {
            queries: attention.heads as usize,
            keys: attention.kv_heads as usize,
            head_dim: attention.head_dim as usize,
            rotated: rope.rotated() as usize,
            traditional: rope.is_traditional(),
            eps: norms.map(|(_, _, eps)| eps),
        };
        let norms = norms.map(|(queries, keys, _)| [queries, keys]);
        return Some(cpu::normed_and_rotated(x, &cosines, &sines, norms, plan));
    }
    let _ = (x, attention, norms, rope, positions);
    None
}

/// Whether tokens of this type are attended by [`attend_in_place`].
pub fn attends_in_place(dtype: Dtype) -> bool {
    has_dense_products() && dtype == Dtype::Float32
}

/// new: queries [rows, heads, head_dim], keys and values [rows, kv_heads, head_dim]; held: each session's keys and values
/// [1, kv_heads, places, head_dim]. Writes each row's keys and values into those of the session that its span names as its
/// room, at the span's last place, and attends the row over its span → [rows, heads · head_dim]. A row that sees nothing
/// is written nowhere and gets zeros.
///
/// `held` is **written into**: nobody else may count on what it holds from the new tokens' places on.
pub fn attend_in_place(new: [&Array; 3], held: &[[&Array; 2]], spans: &[Span], scale: f32) -> Result<Array> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return cpu::attend_in_place(new, held, spans, scale);
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    {
        let _ = (new, held, spans, scale);
        Err(mlx_rs::error::Exception::custom("this device attends no tokens in place"))
    }
}

/// Room for tokens that [`attend_in_place`] writes: f32 of `shape`, which holds anything before.
pub fn unwritten(shape: &[i32]) -> Result<Array> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return cpu::unwritten(shape);
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    mlx_rs::ops::zeros_dtype(shape, Dtype::Float32)
}

/// Whether such heads are attended here.
pub fn attends(head_dim: i32, dtype: Dtype) -> bool {
    cuda::attends(head_dim, dtype)
}

/// Whether `tokens` of a prompt that see up to `places` each are best attended here, where their heads are.
pub fn attends_prompt(tokens: i32, places: i32) -> bool {
    tokens.saturating_mul(places) <= MOST_PAIRS_ON_GPU
}

/// queries [rows, heads, head_dim], keys and values [rooms, kv_heads, places, head_dim], what each row sees →
/// [rows, heads · head_dim]. A row that sees nothing gets zeros.
pub fn attend(queries: &Array, keys: &Array, values: &Array, spans: &[Span], scale: f32) -> Result<Array> {
    let numbers: Vec<i32> = spans.iter().flat_map(|span| [span.room, span.start, span.end]).collect();
    let spans = Array::from_slice(&numbers, &[spans.len() as i32, 3]);
    cuda::attend(queries, keys, values, &spans, scale)
}
