//! The reference: everything by MLX's own operations, which every device has.

use super::super::allocate::Allocate;
use super::super::around::Norm;
use super::super::heads::Heads;
use super::super::matrix::{Matrix, Weights};
use super::super::memory::KvMemory;
use super::super::operations::{Kernels, Promises, exactly, rows_of};
use super::super::pass::{AttentionSettings, Company, Part, Rows, Step, Tokens, window_start};
use super::super::rotation::{Positions, Rotation};
use super::attention::{Mask, attend_each_run, attend_one_token, attention, runs, window_mask};
use super::device::Mlx;
use crate::model::ops::{Activation, concatenated, padded_to};
use mlx_rs::error::Result;
use mlx_rs::fast::rms_norm;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{addmm, dequantize, gather_mm, gather_qmm, quantized_matmul};
use mlx_rs::{Array, Dtype};

impl Allocate for Mlx {}

impl Kernels for Mlx {
    fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "MLX's operations on a CPU",
            Self::Gpu => "MLX's operations on a GPU",
        }
    }

    fn promises(&self) -> Promises {
        Promises {
            attends_own_caches: false,
            writes_in_place: false,
            sets_memory_aside: false,
            starts_early: *self == Self::Cpu,
            needs_warm_up: false,
        }
    }

    fn dense(&self, weight: &Array) -> Result<Matrix> {
        match self {
            // A BLAS copies such a matrix into its own blocks with whole vectors, which for a few rows is most of a product's
            // cost. Stacks stay as they are: each of their matrices serves few rows at a time.
            Self::Cpu if weight.ndim() == 2 => Matrix::inputs_first(weight),
            Self::Cpu | Self::Gpu => Matrix::dense(weight),
        }
    }

    fn multiply(&self, x: &Array, matrix: &Matrix, bias: Option<&Array>) -> Result<Array> {
        let product = match &matrix.weights {
            Weights::Dense { transposed, .. } => match bias {
                Some(bias) => return addmm(bias, x, transposed, None, None),
                None => x.matmul(transposed)?,
            },
            Weights::Packed { packed, scales, biases, quantization } => {
                quantized_matmul(x, packed, scales, biases, true, quantization.group_size, quantization.bits)?
            }
        };
        match bias {
            Some(bias) => product.add(bias),
            None => Ok(product),
        }
    }

    fn product_of_experts(&self, x: &Array, stack: &Matrix, experts: &Array) -> Result<Array> {
        match &stack.weights {
            Weights::Dense { transposed, .. } => gather_mm(x, transposed, None, experts, false),
            Weights::Packed { packed, scales, biases, quantization } => {
                let (group_size, bits) = (quantization.group_size, quantization.bits);
                gather_qmm(x, packed, scales, biases, None, experts, true, group_size, bits, false)
            }
        }
    }

    fn rows_of(&self, matrix: &Matrix, ids: &Array) -> Result<Array> {
        match &matrix.weights {
            Weights::Dense { weight, .. } => weight.take_axis(ids, 0),
            Weights::Packed { packed, scales, biases, quantization } => dequantize(
                packed.take_axis(ids, 0)?,
                scales.take_axis(ids, 0)?,
                &biases.take_axis(ids, 0)?,
                quantization.group_size,
                quantization.bits,
            ),
        }
    }

    fn rms_norm(&self, x: &Array, norm: Norm<'_>) -> Result<Array> {
        rms_norm(x, Some(norm.weight), norm.eps)
    }

    fn gated(&self, x: &Array, activation: Activation) -> Result<Array> {
        let [gate, up] = exactly(x.split_at_indices(&[x.dim(-1) / 2], -1)?)?;
        activation.apply(&gate)?.multiply(up)
    }

    fn rotate(&self, x: &Array, rotation: &Rotation, positions: &Positions) -> Result<Array> {
        match self {
            Self::Cpu => rotation.by_table(x, positions),
            Self::Gpu => rotation.by_kernel(x, positions),
        }
    }

    fn attend(
        &self,
        x: &Array,
        heads: &Heads<'_>,
        positions: &Positions,
        memories: &mut [&mut KvMemory],
        rows: &Rows,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let new = self.heads(x, heads, positions)?;
        self.attend_heads(new.each_ref(), memories, rows, settings)
    }

    fn attends_any_lengths(&self, _heads: &Heads<'_>, _dtype: Dtype, _settings: AttentionSettings) -> bool {
        false
    }

    fn comfortable_width(&self, rows: usize) -> usize {
        match self {
            // A CPU's BLAS shares sixteen rows among its threads without one waiting for the other, and so takes less time
            // for them than for three.
            Self::Cpu if rows > 2 => rows.next_multiple_of(16),
            Self::Cpu | Self::Gpu => rows,
        }
    }
}

impl Mlx {
    /// [`Kernels::attend`] from queries `[T, queries, head_dim]`, keys and values `[T, keys, head_dim]` on.
    pub fn attend_heads(
        self,
        new: [&Array; 3],
        memories: &mut [&mut KvMemory],
        rows: &Rows,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let (mut outputs, mut first) = (Vec::with_capacity(rows.parts.len()), 0);
        for part in &rows.parts {
            let new = new.map(|array| rows_of(array, first..first + part.tokens()));
            let [queries, keys, values] = new;
            let new = [&queries?, &keys?, &values?];
            let memory = &mut *memories[part.cache()];
            let output = match part {
                Part::Tokens(tokens) => self.attend_tokens(new, memory, tokens, settings)?,
                Part::Step(step) => self.attend_step(new, memory, step, rows.company, settings)?,
            };
            outputs.push(padded_to(part.rows(), vec![output])?);
            first += part.rows();
        }
        concatenated(outputs)
    }

    fn attend_tokens(
        self,
        [queries, keys, values]: [&Array; 3],
        memory: &mut KvMemory,
        tokens: &Tokens,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let (start, count) = (tokens.start, tokens.count);
        let seen = window_start(settings.window, start);
        let [keys, values] = memory.append(0..1, start, seen, [&heads_first(keys)?, &heads_first(values)?])?;
        let mask = match settings.window {
            _ if count == 1 => return attend_one_token(self, queries, &keys, &values, None, settings),
            Some(window) if start + count > window => Mask::Array(window_mask(seen, start, count, window)?),
            _ => Mask::Causal,
        };
        let output = attention(self, &heads_first(queries)?, &keys, &values, settings, mask)?;
        output.swap_axes(1, 2)?.reshape(&[count, -1])
    }

    fn attend_step(
        self,
        [queries, keys, values]: [&Array; 3],
        memory: &mut KvMemory,
        step: &Step,
        company: Company,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let (layout, window) = (&step.layout, window_start(settings.window, step.layout.end));
        let by_room = |array: &Array| layout.by_room(array)?.expand_dims(2);
        let first = layout.first().max(window);
        let new = [&by_room(keys)?, &by_room(values)?];
        let [keys, values] = memory.append(layout.rooms.clone(), layout.end, first, new)?;
        match company {
            Company::EquallyLong(most) => {
                attend_each_run(self, queries, &keys, &values, &runs(layout, window, first, most), settings)
            }
            Company::Any => {
                let mask = match layout.mask()? {
                    Some(mask) if first > layout.first() => {
                        Some(mask.try_index((.., .., .., first - layout.first()..))?)
                    }
                    mask => mask,
                };
                layout.by_row(&attend_one_token(self, &layout.by_room(queries)?, &keys, &values, mask, settings)?)
            }
        }
    }
}

/// `[L, heads, head_dim]` → `[1, heads, L, head_dim]`.
pub fn heads_first(array: &Array) -> Result<Array> {
    array.swap_axes(0, 1)?.expand_dims(0)
}
