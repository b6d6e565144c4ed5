//! Reading prompts: the next tokens of one session or of several in one pass over the layers.

use super::exact::{BLOCK, LARGEST_PASS, rows_of_pass};
use crate::model::kernels::{Kernels, Positions, Tokens};
use crate::model::kv::{KvCache, Pass};
use crate::model::layers::{Decoder, Forward};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::transforms::eval;

/// The next tokens of a session and the cache that they go to.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub cache: &'a mut KvCache,
    pub tokens: &'a [u32],
}

/// Tokens of a reading that are attended at once: from its place `from` on, so many.
#[derive(Clone, Copy)]
struct Chunk {
    session: usize,
    from: usize,
    tokens: usize,
    /// How many rows of the pass are the chunk's.
    rows: usize,
}

/// Reads everything in one pass. The sessions' rows follow each other without a gap.
pub(super) fn read_packed(decoder: &Decoder, kernels: &dyn Kernels, readings: &mut [Reading<'_>]) -> Result<()> {
    let chunk = |(session, reading): (usize, &Reading<'_>)| {
        let tokens = reading.tokens.len();
        Chunk { session, from: 0, tokens, rows: tokens }
    };
    let chunks: Vec<Chunk> = readings.iter().enumerate().map(chunk).collect();
    read_pass(decoder, kernels, readings, &chunks)
}

/// Reads in passes of whole blocks. Every session is cut at multiples of `chunk` tokens, counted from its prompt's
/// beginning, and each of these chunks begins with a block: what a session gets doesn't depend on the others.
pub(super) fn read_in_blocks(
    decoder: &Decoder,
    kernels: &dyn Kernels,
    readings: &mut [Reading<'_>],
    chunk: usize,
) -> Result<()> {
    let mut chunks = Vec::new();
    for (session, reading) in readings.iter().enumerate() {
        let (start, mut from) = (reading.cache.length() as usize, 0);
        while from < reading.tokens.len() {
            let tokens = (chunk - (start + from) % chunk).min(reading.tokens.len() - from);
            chunks.push(Chunk { session, from, tokens, rows: tokens.next_multiple_of(BLOCK) });
            from += tokens;
        }
    }
    let mut rest = chunks.as_mut_slice();
    while !rest.is_empty() {
        let mut rows = 0;
        let fits = |chunk: &&Chunk| {
            rows += chunk.rows;
            rows <= LARGEST_PASS
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (together, others) = rest.split_at_mut(count);
        let rows: usize = together.iter().map(|chunk| chunk.rows).sum();
        if let Some(last) = together.last_mut() {
            last.rows += rows_of_pass(rows) - rows;
        }
        read_pass(decoder, kernels, readings, together)?;
        rest = others;
    }
    Ok(())
}

/// Reads the next tokens of one session; returns their hidden states `[L, hidden]`, not evaluated.
pub(super) fn read_alone(decoder: &Decoder, kernels: &dyn Kernels, reading: Reading<'_>) -> Result<Array> {
    let tokens = reading.tokens.len();
    pass(decoder, kernels, &mut [reading], &[Chunk { session: 0, from: 0, tokens, rows: tokens }])
}

/// One pass, after which the caches hold the tokens.
fn read_pass(decoder: &Decoder, kernels: &dyn Kernels, readings: &mut [Reading<'_>], chunks: &[Chunk]) -> Result<()> {
    pass(decoder, kernels, readings, chunks)?;
    eval(readings.iter().flat_map(|reading| reading.cache.arrays()))?;
    readings.iter_mut().try_for_each(|reading| reading.cache.settle())
}

/// One pass, in which the rows behind a chunk's tokens are padding; returns the hidden states `[rows, hidden]` of all, not
/// evaluated.
fn pass(decoder: &Decoder, kernels: &dyn Kernels, readings: &mut [Reading<'_>], chunks: &[Chunk]) -> Result<Array> {
    let (mut ids, mut places, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut lengths: Vec<i32> = readings.iter().map(|reading| reading.cache.length()).collect();
    for chunk in chunks {
        let (start, end) = (lengths[chunk.session], ids.len() + chunk.rows);
        let tokens = &readings[chunk.session].tokens[chunk.from..chunk.from + chunk.tokens];
        ids.extend_from_slice(tokens);
        ids.resize(end, 0);
        places.extend(start..start + tokens.len() as i32);
        places.resize(end, 0);
        lengths[chunk.session] += tokens.len() as i32;
        parts.push(Tokens { cache: chunk.session, start, count: tokens.len() as i32, rows: chunk.rows as i32 });
    }
    let positions = match chunks {
        [only] if only.rows == only.tokens => Positions::from(parts[0].start, parts[0].count),
        _ => Positions::each(places),
    };
    let ids = Array::from_slice(&ids, &[ids.len() as i32]);
    let caches = readings.iter_mut().map(|reading| &mut *reading.cache).collect();
    let mut pass = Pass::prompts(caches, &parts);
    let hidden = decoder.hidden(&ids, &mut Forward { kernels, positions: &positions, pass: &mut pass })?;
    drop(pass);
    for (reading, length) in readings.iter_mut().zip(lengths) {
        reading.cache.advance(length - reading.cache.length());
    }
    Ok(hidden)
}
