//! A product of matrices, cut into tiles and shared among threads.

use super::operand::{Numbers, Operand};
use super::operation::{Work, operation};
use super::team;
use super::tile::{self, Ahead, Operands};
use super::vector::LANES;
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::ops::Range;

/// How a weight matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[outputs, inputs]`, as in a checkpoint.
    OutputsFirst,
    /// `[inputs, outputs]`.
    InputsFirst,
}

/// x `[rows, inputs]` times a weight to result `[rows, outputs]`. Strides count numbers from one row in memory to the next.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub rows: usize,
    pub outputs: usize,
    pub inputs: usize,
    pub x: *const f32,
    pub x_stride: usize,
    pub weight: *const f32,
    pub weight_stride: usize,
    pub layout: Layout,
    pub result: *mut f32,
    pub result_stride: usize,
}

// SAFETY: threads read x and the weight, and write outputs of their own.
unsafe impl Send for Product {}
// SAFETY: as above.
unsafe impl Sync for Product {}

/// Outputs of a tile where a weight lies outputs first: with four rows, 24 of the processor's 32 registers hold sums.
const STRIP: usize = 6;
/// Outputs of a tile where a weight lies inputs first.
const COLUMNS: usize = 4 * LANES;
/// As many rows pass over a strip of weights before the next ones do: they stay in the second level's cache.
const ROWS_OF_PASS: usize = 64;

struct Times;

/// x Wᵀ: x `[rows, in]`, weight `[out, in]` → `[rows, out]`.
pub fn product(x: &Array, weight: &Array) -> Result<Array> {
    operation(Times, &[x, weight], &[x.dim(0), weight.dim(0)])
}

impl Work for Times {
    fn compute(&self, inputs: &[Operand<'_>], output: Numbers) {
        let (mut copy_of_x, mut copy_of_weight) = (Vec::new(), Vec::new());
        let (x, weight) = (inputs[0].view(&mut copy_of_x), inputs[1].view(&mut copy_of_weight));
        let (rows, outputs) = (inputs[0].dim(0), inputs[1].dim(0));
        let product = Product {
            rows,
            outputs,
            inputs: inputs[0].dim(1),
            x: x.at(&[]),
            x_stride: x.stride(0),
            weight: weight.at(&[]),
            weight_stride: weight.stride(0),
            layout: Layout::OutputsFirst,
            result: output.at(0),
            result_stride: outputs,
        };
        // SAFETY: these are the operation's arrays, and nobody else has the output yet.
        unsafe { product.compute() };
    }
}

impl Product {
    /// Computes it, with the team's help where that is worth it.
    ///
    /// # Safety
    /// The processor must support it, and the pointers be those of matrices of these sizes, of which no other thread
    /// writes one or reads the result.
    pub unsafe fn compute(&self) {
        let step = match self.layout {
            Layout::OutputsFirst => STRIP,
            Layout::InputsFirst => COLUMNS,
        };
        let multiplications = self.rows * self.outputs * self.inputs;
        team::share_pieces(self.outputs.div_ceil(step), multiplications, &|steps| {
            let outputs = steps.start * step..(steps.end * step).min(self.outputs);
            // SAFETY: as the caller vouches; the outputs are within the matrices, and nobody else's.
            unsafe { self.compute_alone(outputs) };
        });
    }

    /// Computes some of the outputs in this thread.
    ///
    /// # Safety
    /// As [`Product::compute`]; the outputs must be within the matrices.
    pub unsafe fn compute_alone(&self, outputs: Range<usize>) {
        // SAFETY: as the caller vouches.
        unsafe {
            match self.layout {
                Layout::OutputsFirst => self.strips(outputs),
                Layout::InputsFirst => self.columns(outputs),
            }
        }
    }

    fn operands(&self, row: usize, output: usize) -> Operands {
        let weight = match self.layout {
            Layout::OutputsFirst => self.weight.wrapping_add(output * self.weight_stride),
            Layout::InputsFirst => self.weight.wrapping_add(output),
        };
        Operands {
            x: self.x.wrapping_add(row * self.x_stride),
            x_stride: self.x_stride,
            weight,
            weight_stride: self.weight_stride,
            result: self.result.wrapping_add(row * self.result_stride + output),
            result_stride: self.result_stride,
            inputs: self.inputs,
        }
    }

    /// # Safety
    /// As [`Product::compute`]; the weight lies outputs first.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    unsafe fn strips(&self, outputs: Range<usize>) {
        for first in (0..self.rows).step_by(ROWS_OF_PASS) {
            let rows = first..(first + ROWS_OF_PASS).min(self.rows);
            let mut output = outputs.start;
            while output + STRIP <= outputs.end {
                // SAFETY: as the caller vouches.
                unsafe { self.strip::<STRIP>(rows.clone(), output) };
                output += STRIP;
            }
            while output < outputs.end {
                // SAFETY: as the caller vouches.
                unsafe { self.strip::<1>(rows.clone(), output) };
                output += 1;
            }
        }
    }

    /// # Safety
    /// As [`Product::strips`].
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    #[inline]
    unsafe fn strip<const OUTPUTS: usize>(&self, rows: Range<usize>, output: usize) {
        // While these weights are multiplied, the next ones come from memory, each tile of rows asking for its share.
        let tiles = rows.len().div_ceil(4);
        let lines = OUTPUTS.div_ceil(tiles);
        let mut asked = 0;
        for row in rows.clone().step_by(4) {
            let from = self.operands(row, output + OUTPUTS + asked).weight;
            let ahead = Ahead { from, lines: if asked < OUTPUTS { lines } else { 0 } };
            asked += lines;
            let operands = self.operands(row, output);
            // SAFETY: as the caller vouches.
            unsafe {
                match rows.end - row {
                    1 => tile::outputs_first::<1, OUTPUTS>(operands, ahead),
                    2 => tile::outputs_first::<2, OUTPUTS>(operands, ahead),
                    3 => tile::outputs_first::<3, OUTPUTS>(operands, ahead),
                    _ => tile::outputs_first::<4, OUTPUTS>(operands, ahead),
                }
            }
        }
    }

    /// # Safety
    /// As [`Product::compute`]; the weight lies inputs first.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    unsafe fn columns(&self, outputs: Range<usize>) {
        for output in outputs.clone().step_by(COLUMNS) {
            let columns = (outputs.end - output).min(COLUMNS);
            let mask = u16::MAX >> (columns.next_multiple_of(LANES) - columns);
            // SAFETY: as the caller vouches.
            unsafe {
                match columns.div_ceil(LANES) {
                    1 => self.rows_by_columns::<1>(output, mask),
                    2 => self.rows_by_columns::<2>(output, mask),
                    3 => self.rows_by_columns::<3>(output, mask),
                    _ => self.rows_by_columns::<4>(output, mask),
                }
            }
        }
    }

    /// # Safety
    /// As [`Product::columns`].
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    #[inline]
    unsafe fn rows_by_columns<const REGISTERS: usize>(&self, output: usize, mask: u16) {
        for row in (0..self.rows).step_by(6) {
            let operands = self.operands(row, output);
            // SAFETY: as the caller vouches.
            unsafe {
                match self.rows - row {
                    1 => tile::inputs_first::<1, REGISTERS>(operands, mask),
                    2 => tile::inputs_first::<2, REGISTERS>(operands, mask),
                    3 => tile::inputs_first::<3, REGISTERS>(operands, mask),
                    4 => tile::inputs_first::<4, REGISTERS>(operands, mask),
                    5 => tile::inputs_first::<5, REGISTERS>(operands, mask),
                    _ => tile::inputs_first::<6, REGISTERS>(operands, mask),
                }
            }
        }
    }
}
