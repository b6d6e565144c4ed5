//! Tokens written into their sessions' caches, and attention of each over the places that it sees.
//!
//! The work writes into the caches' own arrays, which [`KvMemory`](super::super::memory::KvMemory) allows from a place on
//! that nobody else sees. Whatever reads those places must follow from this operation's output or be computed after it.
//!
//! Scores, their softmax and the sum of values are computed for each row from its own first place on, so a row gets the
//! same bits beside any others, and whether its prompt was read at once or piece by piece.

use super::super::pass::AttentionSettings;
use super::operand::{Numbers, Operand, View};
use super::operation::{Work, operation};
use super::product::{Layout, Product};
use super::team;
use super::vector::{LANES, exp, mask, sum, tanh};
use mlx_rs::Array;
use mlx_rs::error::Result;
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of a prompt that are attended together.
const ROWS_OF_BLOCK: usize = 16;

/// What a row sees: places of one session's cache, its own token's being the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which of the caches.
    pub cache: usize,
    /// The first place.
    pub start: i32,
    /// The place behind the last.
    pub end: i32,
}

impl Span {
    /// What a row of padding sees: nothing.
    pub const NOTHING: Self = Self { cache: 0, start: 0, end: 0 };
}

struct Attend {
    blocks: Vec<Block>,
    scale: f32,
    /// Scores are squeezed into ± this, where the architecture says so.
    softcap: Option<f32>,
}

/// Neighbouring rows that see places of one session's cache from the same one on.
#[derive(Clone, Debug)]
struct Block {
    rows: Range<usize>,
    session: usize,
    start: usize,
    /// Behind the last place that each row sees, which is where its own token is.
    ends: Vec<usize>,
}

/// new: queries `[rows, heads, head_dim]`, keys and values `[rows, kv_heads, head_dim]`; held: each session's keys and values
/// `[1, kv_heads, places, head_dim]`. Writes each row's keys and values at the last place of its span and attends the row
/// over the span → `[rows, heads · head_dim]`. A row that sees nothing is written nowhere and gets zeros.
///
/// # Safety
/// The spans must lie within the caches, and nobody else may see the places that are written, now or until the operation
/// has been computed.
pub unsafe fn attend_in_place(
    new: [&Array; 3],
    held: &[[&Array; 2]],
    spans: &[Span],
    settings: AttentionSettings,
) -> Result<Array> {
    let shape = [new[0].dim(0), new[0].dim(1) * new[0].dim(2)];
    let inputs: Vec<&Array> = new.into_iter().chain(held.iter().copied().flatten()).collect();
    let AttentionSettings { scale, softcap, .. } = settings;
    operation(Attend { blocks: blocks(spans), scale, softcap }, &inputs, &shape)
}

fn blocks(spans: &[Span]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (row, span) in spans.iter().enumerate() {
        let (session, start) = (span.cache, span.start as usize);
        let end = (span.end as usize).max(start);
        match blocks.last_mut() {
            Some(block) if (block.session, block.start) == (session, start) && block.rows.len() < ROWS_OF_BLOCK => {
                block.rows.end += 1;
                block.ends.push(end);
            }
            _ => blocks.push(Block { rows: row..row + 1, session, start, ends: vec![end] }),
        }
    }
    blocks
}

impl Work for Attend {
    fn compute(&self, inputs: &[Operand<'_>], output: Numbers) {
        let (heads, head_dim, kv_heads) = (inputs[0].dim(1), inputs[0].dim(2), inputs[1].dim(1));
        let mut copies = [const { Vec::new() }; 3];
        let [copy_of_queries, copy_of_keys, copy_of_values] = &mut copies;
        let new = [inputs[1].view(copy_of_keys), inputs[2].view(copy_of_values)];
        let caches: Vec<[View<'_>; 2]> = inputs[3..].chunks(2).map(|held| [held[0].held(), held[1].held()]).collect();
        for block in &self.blocks {
            block.write(&new, &caches[block.session], kv_heads, head_dim);
        }
        let task = Task {
            queries: inputs[0].view(copy_of_queries),
            caches: &caches,
            heads,
            shared: heads / kv_heads,
            head_dim,
            output,
            scale: self.scale,
            softcap: self.softcap,
        };
        let seen = |block: &Block| block.ends.iter().map(|end| end - block.start).sum::<usize>();
        let pairs: usize = self.blocks.iter().map(seen).sum();
        team::share(self.blocks.len() * kv_heads, pairs * heads * head_dim, &|part| {
            task.attend(&self.blocks[part / kv_heads], part % kv_heads);
        });
    }
}

impl Block {
    /// Writes the rows' new keys and values where they end.
    fn write(&self, new: &[View<'_>; 2], cache: &[View<'_>; 2], kv_heads: usize, head_dim: usize) {
        let seen = self.rows.clone().zip(&self.ends).filter(|(_, end)| **end > self.start);
        for (row, end) in seen {
            for (new, held) in new.iter().zip(cache) {
                for head in 0..kv_heads {
                    let (from, to) = (new.at(&[row, head]), held.at(&[0, head, end - 1]).cast_mut());
                    // SAFETY: by `attend_in_place`'s contract the place is within the cache and nobody else sees it.
                    unsafe { from.copy_to_nonoverlapping(to, head_dim) };
                }
            }
        }
    }
}

struct Task<'a> {
    queries: View<'a>,
    /// Each session's keys and values.
    caches: &'a [[View<'a>; 2]],
    heads: usize,
    /// Query heads of one key head.
    shared: usize,
    head_dim: usize,
    output: Numbers,
    scale: f32,
    softcap: Option<f32>,
}

impl Task<'_> {
    /// A block's rows over one key head.
    fn attend(&self, block: &Block, kv_head: usize) {
        let heads = kv_head * self.shared..(kv_head + 1) * self.shared;
        let (row, width) = (block.rows.start, self.head_dim);
        // One row's heads, or one head's rows, lie at equal distances: they are the rows of two products.
        if let [end] = block.ends[..] {
            let output = self.output.at((row * self.heads + heads.start) * width);
            let queries = (self.queries.at(&[row, heads.start]), self.queries.stride(1));
            self.attend_evenly(queries, (output, width), &vec![end; self.shared], block, kv_head);
        } else {
            for head in heads {
                let output = self.output.at((row * self.heads + head) * width);
                let queries = (self.queries.at(&[row, head]), self.queries.stride(0));
                self.attend_evenly(queries, (output, self.heads * width), &block.ends, block, kv_head);
            }
        }
    }

    /// Queries and their outputs, each with the distance to the next; query number i sees places up to `ends[i]`.
    fn attend_evenly(
        &self,
        (queries, query_stride): (*const f32, usize),
        (output, output_stride): (*mut f32, usize),
        ends: &[usize],
        block: &Block,
        kv_head: usize,
    ) {
        let (rows, head_dim) = (ends.len(), self.head_dim);
        let [keys, values] = &self.caches[block.session];
        let places = ends.iter().max().map_or(0, |end| end - block.start);
        let stride = places.next_multiple_of(LANES);
        let mut shares = vec![0.0; rows * stride];
        let scores = Product {
            rows,
            outputs: places,
            inputs: head_dim,
            x: queries,
            x_stride: query_stride,
            weight: keys.at(&[0, kv_head, block.start]),
            weight_stride: keys.stride(2),
            layout: Layout::OutputsFirst,
            result: shares.as_mut_ptr(),
            result_stride: stride,
        };
        // SAFETY: queries, places and outputs are within their arrays, and nobody else writes these outputs.
        unsafe {
            scores.compute_alone(0..places);
            for (row, end) in ends.iter().enumerate() {
                let scores = &mut shares[row * stride..][..places];
                let seen = end - block.start;
                match self.softcap {
                    Some(cap) => {
                        squeeze(&mut scores[..seen], self.scale, cap);
                        softmax(scores, seen, 1.0);
                    }
                    None => softmax(scores, seen, self.scale),
                }
            }
        }
        let sum_of_values = Product {
            rows,
            outputs: head_dim,
            inputs: places,
            x: shares.as_ptr(),
            x_stride: stride,
            weight: values.at(&[0, kv_head, block.start]),
            weight_stride: values.stride(2),
            layout: Layout::InputsFirst,
            result: output,
            result_stride: output_stride,
        };
        // SAFETY: as above.
        unsafe { sum_of_values.compute_alone(0..head_dim) };
    }
}

/// Each number times `scale` as cap · tanh(number / cap).
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn squeeze(numbers: &mut [f32], scale: f32, cap: f32) {
    let (inner, outer) = (_mm512_set1_ps(scale / cap), _mm512_set1_ps(cap));
    for at in (0..numbers.len()).step_by(LANES) {
        let mask = mask(at, numbers.len());
        // SAFETY: masked lanes are neither read nor written.
        unsafe {
            let place = numbers.as_mut_ptr().add(at);
            let squeezed = tanh(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, place), inner));
            _mm512_mask_storeu_ps(place, mask, _mm512_mul_ps(squeezed, outer));
        }
    }
}

/// The softmax of the first `seen` numbers times `scale`; zeros behind them.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn softmax(numbers: &mut [f32], seen: usize, scale: f32) {
    let (numbers, unseen) = numbers.split_at_mut(seen);
    unseen.fill(0.0);
    let scale = _mm512_set1_ps(scale);
    let lowest = _mm512_set1_ps(f32::MIN);
    let mut greatest = lowest;
    for at in (0..seen).step_by(LANES) {
        // SAFETY: masked lanes are not read.
        let scores = unsafe { _mm512_mask_loadu_ps(lowest, mask(at, seen), numbers.as_ptr().add(at)) };
        greatest = _mm512_max_ps(greatest, scores);
    }
    let greatest = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(greatest)), scale);
    let mut total = _mm512_setzero_ps();
    for at in (0..seen).step_by(LANES) {
        let mask = mask(at, seen);
        // SAFETY: masked lanes are neither read nor written.
        unsafe {
            let scores = _mm512_maskz_loadu_ps(mask, numbers.as_ptr().add(at));
            let powers = exp(_mm512_fmsub_ps(scores, scale, greatest));
            total = _mm512_mask_add_ps(total, mask, total, powers);
            _mm512_mask_storeu_ps(numbers.as_mut_ptr().add(at), mask, powers);
        }
    }
    let factor = _mm512_set1_ps(1.0 / sum(total));
    for at in (0..seen).step_by(LANES) {
        let mask = mask(at, seen);
        // SAFETY: masked lanes are neither read nor written.
        unsafe {
            let powers = _mm512_maskz_loadu_ps(mask, numbers.as_ptr().add(at));
            _mm512_mask_storeu_ps(numbers.as_mut_ptr().add(at), mask, _mm512_mul_ps(powers, factor));
        }
    }
}
