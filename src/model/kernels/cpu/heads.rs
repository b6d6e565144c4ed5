//! Queries and keys between their product and their attention: normed and rotated.

use super::norm::norm;
use super::operand::{Numbers, Operand, View};
use super::operation::{Work, operation};
use super::team;
use mlx_rs::Array;
use mlx_rs::error::Result;

/// What is done to the heads.
#[derive(Clone, Copy, Debug)]
pub struct NormAndRotation {
    /// Query heads.
    pub queries: usize,
    /// Key heads, and value heads.
    pub keys: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// How many of a head's dimensions, its first ones, are rotated.
    pub rotated: usize,
    /// Whether a pair's dimensions are neighbours; else they are half of the rotated dimensions apart.
    pub traditional: bool,
    /// ε of the root mean square norms, where there are any.
    pub eps: Option<f32>,
}

/// x `[rows, (queries + 2 · keys) · head_dim]`, cosines and sines `[rows, 1, head_dim]`, the weights `[head_dim]` of the
/// queries' and the keys' norms where `plan` has an ε → the queries and keys `[rows, queries + keys, head_dim]`.
pub fn normed_and_rotated(
    x: &Array,
    cosines: &Array,
    sines: &Array,
    norms: Option<[&Array; 2]>,
    plan: NormAndRotation,
) -> Result<Array> {
    let shape = [x.dim(0), (plan.queries + plan.keys) as i32, plan.head_dim as i32];
    let inputs = [x, cosines, sines].into_iter().chain(norms.into_iter().flatten());
    operation(plan, &inputs.collect::<Vec<_>>(), &shape)
}

impl Work for NormAndRotation {
    fn compute(&self, inputs: &[Operand<'_>], output: Numbers) {
        let (rows, heads, head_dim) = (inputs[0].dim(0), self.queries + self.keys, self.head_dim);
        let mut copies = vec![Vec::new(); inputs.len()];
        let views: Vec<View<'_>> = inputs.iter().zip(&mut copies).map(|(input, copy)| input.view(copy)).collect();
        team::share_rows(rows, heads * head_dim, &|row| {
            let (x, cosines, sines) = (views[0].at(&[row]), views[1].at(&[row]), views[2].at(&[row]));
            for head in 0..heads {
                // SAFETY: the head is within x and the output, and nobody else writes it.
                unsafe {
                    let x = x.add(head * head_dim);
                    let output = output.at((row * heads + head) * head_dim);
                    match self.eps {
                        Some(eps) => {
                            let weight = &views[if head < self.queries { 3 } else { 4 }];
                            norm(x, weight.at(&[]), output, head_dim, eps);
                        }
                        None => x.copy_to_nonoverlapping(output, head_dim),
                    }
                    self.rotate(output, cosines, sines);
                }
            }
        });
    }
}

impl NormAndRotation {
    /// Rotates one head in its place.
    ///
    /// # Safety
    /// All must have `head_dim` numbers.
    unsafe fn rotate(&self, head: *mut f32, cosines: *const f32, sines: *const f32) {
        let half = self.rotated / 2;
        for pair in 0..half {
            let (first, second) = if self.traditional { (2 * pair, 2 * pair + 1) } else { (pair, pair + half) };
            // SAFETY: both are below `head_dim`.
            unsafe {
                let (x, y) = (*head.add(first), *head.add(second));
                *head.add(first) = x * *cosines.add(first) + y * *sines.add(first);
                *head.add(second) = y * *cosines.add(second) + x * *sines.add(second);
            }
        }
    }
}
