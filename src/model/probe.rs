//! At which widths a row's products depend on nothing but the row, bit for bit.
//!
//! Matrix kernels choose their blocking by the number of rows, so a row's bits may depend on how many there are, and
//! at some widths on where among them it stands. Exact execution needs one width at which only the row itself counts.
//! This asks the model's own matrices, with random rows in changing places beside changing neighbours; and it asks the
//! model's attention whether a session gets the same bits alone and beside others that are equally long. For prefill it
//! asks whether a row depends on nothing in a pass of any length, or else whether blocks of rows can share one: kernels
//! tile rows, so a row's place within its block may count, but the block's place and the number of blocks must not.

use super::attention::Attention;
use super::decoder::Decoder;
use super::experts::MixtureOfExperts;
use super::kernels::{self, Span};
use super::kv::{AttentionSettings, attend_one_token, attends_each_row, attends_in_place};
use crate::engine::BackendError;
use crate::protocol::DeviceKind;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype, random};
use std::ops::Range;

/// How exact execution shares steps on this device with this model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExactPlan {
    /// Widths that give a row the same bits, ascending. The last one is the cohort's; a narrower one serves where so
    /// few rows run that most of the cohort would be padding.
    widths: Vec<usize>,
    /// How many equally long sessions may be attended at once.
    pub most_attended_at_once: usize,
    /// How prompts are read.
    pub reading: ExactReading,
    /// Whether a row's attention doesn't depend on what others see, so that rows of any lengths are attended at once.
    pub rows_stand_alone: bool,
}

/// How exact execution reads prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExactReading {
    /// As batched execution does: a token gets the same bits in any pass.
    Freely,
    /// Several prompts share a pass, each in blocks of its own.
    InBlocks,
    /// Each prompt has its passes to itself, cut at the same places.
    Alone,
}

/// Rows of a block of prefill. OpenBLAS's kernels take rows by twelve, so a row's place among these may count.
pub(super) const BLOCK: usize = 12;
/// Rows that a pass of blocks may have: those that the probe tries. Two or four threads share them without cutting a
/// block.
const PASSES: [usize; 6] = [48, 96, 144, 192, 288, 384];
/// The most rows of a pass.
pub(super) const LARGEST_PASS: usize = 384;

/// How many rows a pass has that holds `rows`.
pub(super) fn rows_of_pass(rows: usize) -> usize {
    PASSES.into_iter().find(|allowed| *allowed >= rows).unwrap_or(rows)
}

impl ExactPlan {
    /// How many rows a cohort has when it is full.
    pub fn width(&self) -> usize {
        self.widths.last().copied().unwrap_or(1)
    }

    /// How many rows to compute for a cohort of `rows`.
    pub fn padded(&self, rows: usize) -> usize {
        self.widths.iter().copied().find(|width| *width >= rows).unwrap_or(self.width())
    }
}

/// Widths to try, the one preferred first: the wider a cohort, the less a row costs.
fn candidates(device: DeviceKind) -> &'static [usize] {
    match device {
        DeviceKind::Cpu => &[32, 16, 12, 8, 4, 2, 1],
        DeviceKind::Gpu => &[32, 16, 8, 4, 2, 1],
    }
}

/// The plan for the first width that passes, or why there is none.
pub(super) fn choose_width(decoder: &Decoder, device: DeviceKind) -> std::result::Result<ExactPlan, String> {
    for width in candidates(device) {
        match plan(decoder, *width, device) {
            Ok(Some(plan)) => return Ok(plan),
            Ok(None) => {}
            Err(error) => return Err(format!("the width for exact execution could not be probed: {}", error.what())),
        }
    }
    Err("exact execution is not possible here: at no width are this device's matrix products independent of a row's \
         neighbours"
        .into())
}

/// The plan for a width that a person chose; refuses one at which a row's bits depend on its place or its neighbours.
pub(super) fn check_width(
    decoder: &Decoder,
    width: usize,
    device: DeviceKind,
) -> std::result::Result<ExactPlan, BackendError> {
    if width == 0 || width > 64 {
        return Err(BackendError(format!("the exact width must be from 1 to 64, not {width}")));
    }
    plan(decoder, width, device)?.ok_or_else(|| {
        BackendError(format!(
            "at width {width} this device's matrix products depend on a row's neighbours, so nothing would be exact; \
             leave the width out to let it be chosen"
        ))
    })
}

fn plan(decoder: &Decoder, width: usize, device: DeviceKind) -> Result<Option<ExactPlan>> {
    // What is wrong now and then can't be found by trying.
    if decoder.layers.iter().any(|layer| layer.experts().is_some_and(MixtureOfExperts::is_unsafe)) {
        return Ok(None);
    }
    let Some(expected) = row_products(decoder, width)? else { return Ok(None) };
    let mut widths = Vec::new();
    for narrower in (1..width).filter(|narrower| narrower.is_power_of_two() || narrower % 4 == 0) {
        if row_products(decoder, narrower)?.is_some_and(|products| all_equal(&products, &expected)) {
            widths.push(narrower);
        }
    }
    widths.push(width);
    let (mut attends_alike, mut rows_stand_alone) = (true, true);
    for attention in decoder.layers.iter().take(DISTINCT_LAYERS).map(|layer| layer.attention()) {
        attends_alike &= attends_together_as_alone(attention, width, device, decoder.kv_shape.dtype)?;
        rows_stand_alone = rows_stand_alone && attends_ragged_as_alone(attention, decoder.kv_shape.dtype)?;
    }
    if decoder.attends_in_place() && !rows_stand_alone {
        return Ok(None);
    }
    let reading = match device {
        DeviceKind::Cpu if rows_stand_alone && tokens_stand_alone(decoder)? => ExactReading::Freely,
        DeviceKind::Cpu if blocks_are_alike(decoder)? => ExactReading::InBlocks,
        // A GPU is busy with one prompt, and its kernels change with the number of rows.
        DeviceKind::Cpu | DeviceKind::Gpu => ExactReading::Alone,
    };
    let most_attended_at_once = if attends_alike { width } else { 1 };
    Ok(Some(ExactPlan { widths, most_attended_at_once, reading, rows_stand_alone }))
}

/// Layers differ in their windows at most, and in the first few of them each kind comes up.
const DISTINCT_LAYERS: usize = 2;

/// What each of the model's products gives for one and the same row at `width`; none where that depends on the row's
/// place or its neighbours.
fn row_products(decoder: &Decoder, width: usize) -> Result<Option<Vec<Array>>> {
    let dtype = decoder.kv_shape.dtype;
    let mut products = Vec::new();
    let first_layer = decoder.layers.first().map(|layer| layer.weights()).unwrap_or_default();
    let output = decoder.lm_head.as_ref().unwrap_or(&decoder.embed_tokens);
    for (seed, weight) in (0..).zip(first_layer.into_iter().chain([output])) {
        products.push(first_row(|x| weight.product(x), weight.inputs(), width, dtype, seed)?);
    }
    if let Some(layer) = decoder.layers.first()
        && layer.fused_products(&noise(&[1, decoder.embed_tokens.inputs()], 0, dtype)?)?.is_some()
    {
        let fused = |x: &Array| layer.fused_products(x).map(|products| products.unwrap_or_else(|| x.clone()));
        products.push(first_row(fused, decoder.embed_tokens.inputs(), width, dtype, 0)?);
    }
    if let Some(experts) = decoder.layers.iter().find_map(|layer| layer.experts()) {
        products.push(first_row(|x| experts.forward(x), experts.gate.weight().inputs(), width, dtype, 0)?);
    }
    Ok(products.into_iter().collect())
}

/// Whether a random row has the same products alone and in passes of several lengths, wherever it stands.
fn tokens_stand_alone(decoder: &Decoder) -> Result<bool> {
    if decoder.layers.iter().any(|layer| layer.experts().is_some()) {
        return Ok(false);
    }
    let dtype = decoder.kv_shape.dtype;
    let weights = decoder.layers.first().map(|layer| layer.weights()).unwrap_or_default();
    for (seed, weight) in (0..).zip(weights) {
        let row = noise(&[1, weight.inputs()], seed, dtype)?;
        let alone = weight.product(&row)?;
        for others in [1, 12, 99, LARGEST_PASS as i32 - 1] {
            let strangers = noise(&[others, weight.inputs()], seed + 100, dtype)?;
            for place in [0, others / 2, others] {
                let pass = [strangers.try_index(..place)?, row.clone(), strangers.try_index(place..)?];
                let products = weight.product(&concatenate(&pass, 0)?)?;
                if !alone.eq_exact(products.try_index(place..place + 1)?)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Whether a block of random rows has the same products in every place of every pass, beside other blocks.
fn blocks_are_alike(decoder: &Decoder) -> Result<bool> {
    if decoder.layers.iter().any(|layer| layer.experts().is_some()) {
        return Ok(false);
    }
    let dtype = decoder.kv_shape.dtype;
    let weights = decoder.layers.first().map(|layer| layer.weights()).unwrap_or_default();
    for (seed, weight) in (0..).zip(weights) {
        let [block, stranger] = [seed, seed + 100].map(|seed| noise(&[BLOCK as i32, weight.inputs()], seed, dtype));
        let (block, stranger) = (block?, stranger?);
        let mut expected: Option<Array> = None;
        for (rows, parity) in PASSES.into_iter().flat_map(|rows| [(rows, 0), (rows, 1)]) {
            let pass = (0..rows / BLOCK).map(|place| if place % 2 == parity { &block } else { &stranger });
            let products = weight.product(&concatenate(&pass.collect::<Vec<_>>(), 0)?)?;
            let products = products.reshape(&[(rows / BLOCK) as i32, BLOCK as i32, -1])?;
            for place in (0..products.dim(0)).filter(|place| *place % 2 == parity as i32) {
                let product = products.try_index(place)?;
                if !expected.get_or_insert_with(|| product.clone()).eq_exact(product)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// What `product` gives for the first of `width` random rows of `inputs` numbers; none where a row's result changes as
/// it moves one place on, beside other neighbours.
fn first_row(
    product: impl Fn(&Array) -> Result<Array>,
    inputs: i32,
    width: usize,
    dtype: Dtype,
    seed: u64,
) -> Result<Option<Array>> {
    let width = width as i32;
    // The first row is the same at every width.
    let rows = concatenate(&[noise(&[1, inputs], seed, dtype)?, noise(&[width, inputs], seed + 100, dtype)?], 0)?;
    let strangers = noise(&[width, inputs], seed + 200, dtype)?;
    let here = product(&rows.try_index(..width)?)?;
    for parity in 0..2 {
        // Every second row moves one place on; strangers take the other places.
        let source = |place: i32| (place + width - 1) % width;
        let moved = (0..width).map(|place| match source(place) {
            row if row % 2 == parity => rows.try_index(row..row + 1),
            _ => strangers.try_index(place..place + 1),
        });
        let there = product(&concatenate(&moved.collect::<Result<Vec<_>>>()?, 0)?)?;
        for place in (0..width).filter(|place| source(*place) % 2 == parity) {
            let row = source(place);
            if !here.try_index(row..row + 1)?.eq_exact(there.try_index(place..place + 1)?)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(here.try_index(0..1)?))
}

/// Whether a session's attention has the same bits beside equally long ones as alone.
fn attends_together_as_alone(attention: &Attention, width: usize, device: DeviceKind, dtype: Dtype) -> Result<bool> {
    // GPU kernels change with the number of keys, and the longest caches are tried with few sessions to spare memory.
    let lengths: &[(i32, usize)] = match device {
        DeviceKind::Cpu => &[(5, width), (300, width), (1100, width.min(4))],
        DeviceKind::Gpu => &[(5, width), (300, width), (1100, width), (4200, width.min(4))],
    };
    let (heads, kv_heads, head_dim) = (attention.heads, attention.kv_heads, attention.head_dim);
    for (length, most) in lengths {
        let most = *most as i32;
        let queries = noise(&[most, heads, head_dim], 1, dtype)?;
        // As in a cache, there is more room than tokens.
        let keys = noise(&[most, kv_heads, length + 7, head_dim], 2, dtype)?;
        let values = noise(&[most, kv_heads, length + 7, head_dim], 3, dtype)?;
        let attend = |from: i32, to: i32| {
            let of = |held: &Array| held.try_index((from..to, .., 0..*length, ..));
            attend_one_token(&queries.try_index(from..to)?, &of(&keys)?, &of(&values)?, None, attention.settings)
        };
        let alone = (0..most).map(|row| attend(row, row + 1)).collect::<Result<Vec<_>>>()?;
        for together in [2, 3, most] {
            let together = attend(0, together.min(most))?;
            for (row, alone) in (0..together.dim(0)).zip(&alone) {
                if !alone.eq_exact(together.try_index(row..row + 1)?)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Whether a session's attention has the same bits beside shorter and longer ones as alone; false too where there is no
/// kernel that could do that.
fn attends_ragged_as_alone(attention: &Attention, dtype: Dtype) -> Result<bool> {
    let (heads, kv_heads, head_dim) = (attention.heads, attention.kv_heads, attention.head_dim);
    let starts = [0, 3, 64, 200, 299];
    let (rows, end) = (starts.len() as i32, 300);
    let queries = noise(&[rows, heads, head_dim], 1, dtype)?;
    if attends_in_place(dtype, attention.settings) {
        return attends_in_place_as_alone(&queries, kv_heads, attention.settings);
    }
    if !attends_each_row(&queries, attention.settings) {
        return Ok(false);
    }
    let keys = noise(&[rows, kv_heads, end + 7, head_dim], 2, dtype)?;
    let values = noise(&[rows, kv_heads, end + 7, head_dim], 3, dtype)?;
    let span = |(room, start): (i32, i32)| Span { room, start, end };
    let spans: Vec<Span> = (0..).zip(starts).map(span).collect();
    let together = kernels::attend(&queries, &keys, &values, &spans, attention.settings.scale)?;
    for (row, start) in (0..).zip(starts) {
        let own = |held: &Array| held.try_index((row..row + 1, .., start..end, ..))?.contiguous();
        let query = queries.try_index(row..row + 1)?;
        let alone = attend_one_token(&query, &own(&keys)?, &own(&values)?, None, attention.settings)?;
        if !alone.eq_exact(together.try_index(row..row + 1)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// [`attends_ragged_as_alone`] for rows that are attended in their own caches.
fn attends_in_place_as_alone(queries: &Array, kv_heads: i32, settings: AttentionSettings) -> Result<bool> {
    let (rows, head_dim) = (queries.dim(0), queries.dim(2));
    let [keys, values] = [2, 3].map(|seed| noise(&[rows, kv_heads, head_dim], seed, queries.dtype()));
    let (keys, values) = (keys?, values?);
    let ends = (0..rows).map(|row| 1 + 75 * row);
    let cache = |end: i32| noise(&[1, kv_heads, end + 7, head_dim], 4, queries.dtype());
    let caches = ends.clone().map(|end| Ok([cache(end)?, cache(end)?])).collect::<Result<Vec<_>>>()?;
    let attend = |rows: Range<i32>| {
        let of_rows = |array: &Array| array.try_index(rows.clone());
        let (queries, keys, values) = (&of_rows(queries)?, &of_rows(&keys)?, &of_rows(&values)?);
        let held = caches[rows.start as usize..rows.end as usize].iter();
        let held: Vec<_> = held.map(<[Array; 2]>::each_ref).collect();
        let ends = ends.clone().skip(rows.start as usize);
        let spans: Vec<Span> =
            (0..rows.end - rows.start).zip(ends).map(|(room, end)| Span { room, start: 0, end }).collect();
        kernels::attend_in_place([queries, keys, values], &held, &spans, settings.scale)
    };
    let together = attend(0..rows)?;
    for row in 0..rows {
        if !attend(row..row + 1)?.eq_exact(together.try_index(row..row + 1)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn all_equal(one: &[Array], other: &[Array]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.eq_exact(other).unwrap_or(false))
}

fn noise(shape: &[i32], seed: u64, dtype: Dtype) -> Result<Array> {
    random::uniform::<_, f32>(-1.0, 1.0, shape, &random::key(seed)?)?.as_dtype(dtype)
}
