//! The operations that these kernels compute; the rest is MLX's.

use super::super::allocate::Allocate;
use super::super::around::{Around, Norm};
use super::super::heads::Heads;
use super::super::matrix::Matrix;
use super::super::memory::KvMemory;
use super::super::mlx::{Mlx, heads_first};
use super::super::operations::{Kernels, Promises, heads_in_steps, product_in_steps, rows_of};
use super::super::pass::{AttentionSettings, Part, Rows, window_start};
use super::super::rotation::{Positions, Rotation};
use super::attend::{Attend, Span};
use super::computes_in;
use super::gated::Gated;
use super::heads::{HeadsPlan, NormAndRotate};
use super::kernel;
use super::newest::{Newest, NewestPlan};
use super::product::{Products, is_unsafe};
use crate::model::ops::{Activation, concatenated, padded_to};
use mlx_rs::error::{Exception, Result};
use mlx_rs::{Array, Dtype};
use std::rc::Rc;

/// The kernels, where MLX computes on an NVIDIA GPU.
pub fn kernels() -> Result<Option<Rc<dyn Kernels>>> {
    if !kernel::is_available() {
        return Ok(None);
    }
    Ok(Some(Rc::new(Nvidia::new()?)))
}

/// Up to so many pairs of token and place each token of a prompt is attended by itself: MLX's kernel plans anew for every
/// length, which takes 77 ms on an H100. Where the two cross is an estimate.
const MOST_PAIRS: i32 = 1 << 18;

/// The kernels, in bf16 and f16.
#[derive(Debug)]
pub(super) struct Nvidia {
    reference: Mlx,
    pub(super) products: Products,
    pub(super) norm_and_rotate: NormAndRotate,
    pub(super) newest: Newest,
    pub(super) attend: Attend,
    pub(super) gated: Gated,
}

impl Nvidia {
    pub fn new() -> Result<Self> {
        Ok(Self {
            reference: Mlx::Gpu,
            products: Products::new()?,
            norm_and_rotate: NormAndRotate::new(),
            newest: Newest::new(),
            attend: Attend::new(),
            gated: Gated::new(),
        })
    }

    /// Newest tokens, one a row: written and attended by one kernel for each part.
    fn attend_newest(
        &self,
        x: &Array,
        plan: &HeadsPlan<'_>,
        memories: &mut [&mut KvMemory],
        rows: &Rows,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let (mut outputs, mut row) = (Vec::with_capacity(rows.parts.len()), 0);
        for part in &rows.parts {
            let x = rows_of(x, row..row + part.rows())?;
            row += part.rows();
            let memory = &mut *memories[part.cache()];
            let (first, rooms) = (memory.first(), memory.rooms());
            let (end, spans, last_room) = match part {
                Part::Tokens(tokens) => (tokens.start, self.newest.spans([(0, 0)].into_iter(), part.rows())?, 0),
                Part::Step(step) => {
                    let layout = &step.layout;
                    let rows = layout.room_of_row.iter().copied().zip(layout.starts.iter().copied());
                    (layout.end, self.newest.spans(rows, part.rows())?, layout.rooms.end - 1)
                }
            };
            if end < first || end >= memory.capacity() || last_room >= rooms {
                return Err(Exception::custom("a cache has no room for its next tokens"));
            }
            let clock = self.newest.clock(end + 1, first)?;
            let (window, scale) = (settings.window, settings.scale);
            let held = memory.writable_from(end)?;
            let plan_of_part = NewestPlan { held, spans: &spans, clock: &clock, window, scale };
            // SAFETY: the rows' rooms and place were just found to lie within the cache, and the memory says that nobody else
            // sees the places from there on: it is lent to this pass alone, which notes the operation as what must be
            // computed before they are read.
            outputs.push(unsafe { self.newest.apply(&x, plan, &plan_of_part)? });
        }
        concatenated(outputs)
    }

    /// Tokens that MLX's operations write and the kernel attends, each by itself.
    fn attend_each(
        &self,
        new: [&Array; 3],
        memories: &mut [&mut KvMemory],
        rows: &Rows,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let is_long = |part: &Part| match part {
            Part::Tokens(tokens) => tokens.count.saturating_mul(tokens.start + tokens.count) > MOST_PAIRS,
            Part::Step(_) => false,
        };
        if settings.softcap.is_some() || !Attend::takes(new[0].dim(2), new[0].dtype()) || rows.parts.iter().any(is_long)
        {
            return self.reference.attend_heads(new, memories, rows, settings);
        }
        let (mut outputs, mut row) = (Vec::with_capacity(rows.parts.len()), 0);
        for part in &rows.parts {
            let of_part = |array: &Array| rows_of(array, row..row + part.tokens());
            let [queries, keys, values] = [of_part(new[0])?, of_part(new[1])?, of_part(new[2])?];
            row += part.rows();
            let memory = &mut *memories[part.cache()];
            let (held, spans) = match part {
                Part::Tokens(tokens) => {
                    let (start, count) = (tokens.start, tokens.count);
                    let seen = window_start(settings.window, start);
                    let held = memory.append(0..1, start, seen, [&heads_first(&keys)?, &heads_first(&values)?])?;
                    let span = |place| Span {
                        room: 0,
                        start: window_start(settings.window, place) - seen,
                        end: place + 1 - seen,
                    };
                    (held, (start..start + count).map(span).collect::<Vec<Span>>())
                }
                Part::Step(step) => {
                    let layout = &step.layout;
                    let first = layout.first().max(window_start(settings.window, layout.end));
                    let by_room = |array: &Array| layout.by_room(array)?.expand_dims(2);
                    let new = [&by_room(&keys)?, &by_room(&values)?];
                    let held = memory.append(layout.rooms.clone(), layout.end, first, new)?;
                    let span = |(room, start): (&i32, &i32)| Span {
                        room: room - layout.rooms.start,
                        start: (start - first).max(0),
                        end: layout.end + 1 - first,
                    };
                    (held, layout.room_of_row.iter().zip(&layout.starts).map(span).collect())
                }
            };
            let output = self.attend.apply(&queries, held.each_ref(), &spans, settings.scale)?;
            outputs.push(padded_to(part.rows(), vec![output])?);
        }
        concatenated(outputs)
    }
}

impl Allocate for Nvidia {}

impl Kernels for Nvidia {
    fn name(&self) -> &'static str {
        "kernels for NVIDIA GPUs"
    }

    fn promises(&self) -> Promises {
        Promises {
            attends_own_caches: false,
            writes_in_place: true,
            sets_memory_aside: false,
            starts_early: false,
            needs_warm_up: true,
        }
    }

    fn multiply(&self, x: &Array, matrix: &Matrix, bias: Option<&Array>) -> Result<Array> {
        let product = match self.products.product(x, matrix, Around::default()) {
            Some(product) => product?,
            None if is_unsafe(x.size() as i32 / matrix.inputs(), matrix) => x.matmul(matrix.numbers()?.t())?,
            None => return self.reference.multiply(x, matrix, bias),
        };
        match bias {
            Some(bias) => product.add(bias),
            None => Ok(product),
        }
    }

    fn product(&self, x: &Array, matrix: &Matrix, around: Around<'_>) -> Result<Array> {
        match self.products.product(x, matrix, around) {
            Some(product) => product,
            None => product_in_steps(self, x, matrix, around),
        }
    }

    fn product_of_experts(&self, x: &Array, stack: &Matrix, experts: &Array) -> Result<Array> {
        self.reference.product_of_experts(x, stack, experts)
    }

    fn is_reliable(&self, stack: &Matrix) -> bool {
        !is_unsafe(i32::MAX, stack)
    }

    fn rows_of(&self, matrix: &Matrix, ids: &Array) -> Result<Array> {
        self.products.rows(matrix, ids).unwrap_or_else(|| self.reference.rows_of(matrix, ids))
    }

    fn rms_norm(&self, x: &Array, norm: Norm<'_>) -> Result<Array> {
        self.reference.rms_norm(x, norm)
    }

    fn gated(&self, x: &Array, activation: Activation) -> Result<Array> {
        match activation {
            Activation::Silu if x.ndim() == 2 && computes_in(x.dtype()) => self.gated.apply(x),
            Activation::Silu | Activation::GeluTanh => self.reference.gated(x, activation),
        }
    }

    fn rotate(&self, x: &Array, rotation: &Rotation, positions: &Positions) -> Result<Array> {
        self.reference.rotate(x, rotation, positions)
    }

    fn heads(&self, x: &Array, heads: &Heads<'_>, positions: &Positions) -> Result<[Array; 3]> {
        match HeadsPlan::of(heads, x.dtype()) {
            Some(plan) => heads.with_values_of(x, &self.norm_and_rotate.apply(x, positions.array(), &plan)?),
            None => heads_in_steps(self, x, heads, positions),
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
        let plan = HeadsPlan::of(heads, x.dtype()).filter(|_| {
            rows.is_step()
                && settings.softcap.is_none()
                && Attend::takes(heads.head_dim, x.dtype())
                && memories.iter().all(|memory| memory.dtype() == x.dtype())
        });
        match plan {
            Some(plan) => self.attend_newest(x, &plan, memories, rows, settings),
            None => self.attend_each(self.heads(x, heads, positions)?.each_ref(), memories, rows, settings),
        }
    }

    fn attends_any_lengths(&self, heads: &Heads<'_>, dtype: Dtype, settings: AttentionSettings) -> bool {
        settings.softcap.is_none() && Attend::takes(heads.head_dim, dtype)
    }
}
