//! The operations that these kernels compute; the rest is MLX's.

use super::super::allocate::Allocate;
use super::super::around::Norm;
use super::super::heads::{HeadNorms, Heads};
use super::super::matrix::{Matrix, Weights};
use super::super::memory::KvMemory;
use super::super::mlx::Mlx;
use super::super::operations::{Kernels, Promises, heads_in_steps};
use super::super::pass::{AttentionSettings, Part, Rows, window_start};
use super::super::rotation::{Positions, Rotation};
use super::attend::{Span, attend_in_place};
use super::heads::NormAndRotation;
use super::operation::unwritten;
use super::{gated, heads, norm, product};
use crate::model::ops::Activation;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexMutOp;
use mlx_rs::{Array, Dtype};
use std::rc::Rc;

/// The kernels, where the processor has what they need.
pub fn kernels() -> Option<Rc<dyn Kernels>> {
    let has_all = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    has_all.then(|| Rc::new(Avx512 { reference: Mlx::Cpu }) as Rc<dyn Kernels>)
}

/// Kernels for AVX-512, in f32; whoever makes one has asked whether the processor has it.
#[derive(Debug)]
struct Avx512 {
    reference: Mlx,
}

/// Whether rows x `[rows, n]` are what the kernels compute with.
fn takes(x: &Array) -> bool {
    x.dtype() == Dtype::Float32 && x.ndim() == 2
}

impl Kernels for Avx512 {
    fn name(&self) -> &'static str {
        "kernels for AVX-512"
    }

    fn promises(&self) -> Promises {
        Promises {
            attends_own_caches: true,
            writes_in_place: true,
            sets_memory_aside: true,
            starts_early: true,
            needs_warm_up: false,
        }
    }

    fn multiply(&self, x: &Array, matrix: &Matrix, bias: Option<&Array>) -> Result<Array> {
        match &matrix.weights {
            Weights::Dense { weight, .. } if takes(x) && matrix.dtype() == Dtype::Float32 => {
                let product = product::product(x, weight)?;
                bias.map_or(Ok(product.clone()), |bias| product.add(bias))
            }
            _ => self.reference.multiply(x, matrix, bias),
        }
    }

    fn product_of_experts(&self, x: &Array, stack: &Matrix, experts: &Array) -> Result<Array> {
        self.reference.product_of_experts(x, stack, experts)
    }

    fn rows_of(&self, matrix: &Matrix, ids: &Array) -> Result<Array> {
        self.reference.rows_of(matrix, ids)
    }

    fn rms_norm(&self, x: &Array, norm: Norm<'_>) -> Result<Array> {
        match takes(x) {
            true => norm::rms_norm(x, norm.weight, norm.eps),
            false => self.reference.rms_norm(x, norm),
        }
    }

    fn gated(&self, x: &Array, activation: Activation) -> Result<Array> {
        match activation {
            Activation::Silu if takes(x) => gated::gated(x),
            Activation::Silu | Activation::GeluTanh => self.reference.gated(x, activation),
        }
    }

    fn rotate(&self, x: &Array, rotation: &Rotation, positions: &Positions) -> Result<Array> {
        self.reference.rotate(x, rotation, positions)
    }

    fn heads(&self, x: &Array, heads: &Heads<'_>, positions: &Positions) -> Result<[Array; 3]> {
        let norms = match heads.norms {
            HeadNorms::None => Some(None),
            HeadNorms::EachHead([queries, keys]) if queries.eps == keys.eps => Some(Some([queries, keys])),
            HeadNorms::EachHead(_) | HeadNorms::AllHeads(_) => None,
        };
        let (Some(norms), Some(rotation)) = (norms.filter(|_| takes(x)), heads.rotation) else {
            return heads_in_steps(self, x, heads, positions);
        };
        let (table, angles) = (rotation.table(positions), rotation.angles());
        let plan = NormAndRotation {
            queries: heads.queries as usize,
            keys: heads.keys as usize,
            head_dim: heads.head_dim as usize,
            rotated: angles.dims as usize,
            traditional: angles.traditional,
            eps: norms.map(|[queries, _]| queries.eps),
        };
        let weights = norms.map(|[queries, keys]| [queries.weight, keys.weight]);
        let ready = heads::normed_and_rotated(x, &table.cosines, &table.sines, weights, plan)?;
        heads.with_values_of(x, &ready)
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
        let parts = rows.parts.iter().map(|part| match part {
            Part::Tokens(tokens) => Some(tokens),
            Part::Step(_) => None,
        });
        let (Some(parts), Dtype::Float32) = (parts.collect::<Option<Vec<_>>>(), x.dtype()) else {
            return self.reference.attend_heads(new.each_ref(), memories, rows, settings);
        };
        let mut spans = Vec::with_capacity(x.dim(0) as usize);
        let mut starts: Vec<i32> = memories.iter().map(|memory| memory.capacity()).collect();
        for tokens in parts {
            let (cache, first) = (tokens.cache, memories[tokens.cache].first());
            starts[cache] = starts[cache].min(tokens.start);
            let end = spans.len() + tokens.rows as usize;
            spans.extend((tokens.start..tokens.start + tokens.count).map(|place| Span {
                cache,
                start: window_start(settings.window, place) - first,
                end: place + 1 - first,
            }));
            spans.resize(end, Span::NOTHING);
        }
        let ends = spans.iter().map(|span| memories[span.cache].first() + span.end <= memories[span.cache].capacity());
        if !ends.into_iter().all(|is_within| is_within) {
            return Err(mlx_rs::error::Exception::custom("a cache has no room for its next tokens"));
        }
        let held = memories.iter_mut().zip(starts).map(|(memory, start)| memory.writable_from(start));
        let held = held.collect::<Result<Vec<_>>>()?;
        // SAFETY: the spans were just found to lie within the caches, and the memories say that nobody else sees the places
        // from their first new token on: they are lent to this pass alone, which notes the operation as what must be
        // computed before they are read.
        unsafe { attend_in_place(new.each_ref(), &held, &spans, settings) }
    }

    fn attends_any_lengths(&self, _heads: &Heads<'_>, dtype: Dtype, _settings: AttentionSettings) -> bool {
        dtype == Dtype::Float32
    }
}

impl Allocate for Avx512 {
    fn with_room(&self, kept: &Array, places: i32) -> Result<Array> {
        let mut memory = self.memory(&[kept.dim(0), kept.dim(1), places, kept.dim(3)], kept.dtype())?;
        if kept.dim(2) > 0 {
            memory.try_index_mut((.., .., ..kept.dim(2), ..), kept)?;
        }
        Ok(memory)
    }

    fn memory(&self, shape: &[i32], dtype: Dtype) -> Result<Array> {
        match dtype {
            Dtype::Float32 if !shape.contains(&0) => unwritten(shape),
            _ => self.reference.memory(shape, dtype),
        }
    }
}
