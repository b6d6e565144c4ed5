//! Chooses each row's next token on the device, from the row's own settings and random numbers and nothing else.
//!
//! Filters see the probabilities at temperature 1 and the temperature shapes what they leave, as in mlx-lm. The draw
//! is by inversion: one uniform number a row, derived from (seed, position), picks a place in the cumulative
//! probabilities. Every operation works within a row, so that a row's token does not depend on its neighbours.

use crate::model::ops::exponentials;
use crate::protocol::{Sampling, Strategy};
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::{TryIndexOp, argmax_axis};
use mlx_rs::ops::{argsort_axis, concatenate, maximum, minimum, select, softmax_axis, zeros_dtype};
use mlx_rs::{Array, Dtype};

/// How many of the newest tokens the repetition penalty looks at, as in mlx-lm.
pub const PENALTY_WINDOW: usize = 20;

/// Tokens of one block of the draw.
const BLOCK: i32 = 256;

/// What one row asks of the sampler in one step.
#[derive(Debug)]
pub struct Draw<'a> {
    /// The row's settings.
    pub sampling: &'a Sampling,
    /// How many tokens the row has drawn before.
    pub position: u64,
    /// The newest tokens `[up to 20]`, where the row has a repetition penalty.
    pub recent: Option<&'a Array>,
}

/// The rows of one kind of drawing are drawn in one graph; a row's kind follows from its settings alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Greedy,
    Unsorted,
    Sorted,
}

impl Kind {
    fn of(sampling: &Sampling) -> Self {
        match sampling.strategy() {
            Strategy::Greedy => Self::Greedy,
            Strategy::Random { top_p, top_k, .. } if top_p < 1.0 || top_k > 0 => Self::Sorted,
            Strategy::Random { .. } => Self::Unsorted,
        }
    }
}

/// logits `[N, vocab]` and N draws → token ids u32 `[N]`.
pub fn sample(logits: &Array, draws: &[Draw<'_>]) -> Result<Array> {
    // The greatest is the greatest in any dtype that can hold it.
    if draws.iter().all(|draw| draw.recent.is_none() && Kind::of(draw.sampling) == Kind::Greedy) {
        return argmax_axis(logits, -1, None)?.as_dtype(Dtype::Uint32);
    }
    let logits = penalised(&logits.as_dtype(Dtype::Float32)?, draws)?;
    let mut order = Vec::with_capacity(draws.len());
    let mut parts = Vec::new();
    for kind in [Kind::Greedy, Kind::Unsorted, Kind::Sorted] {
        let rows: Vec<usize> = (0..draws.len()).filter(|row| Kind::of(draws[*row].sampling) == kind).collect();
        if rows.is_empty() {
            continue;
        }
        let own = if rows.len() == draws.len() { logits.clone() } else { logits.take_axis(row_indices(&rows), 0)? };
        let settings = Settings::new(&rows, draws);
        parts.push(match kind {
            Kind::Greedy => argmax_axis(&own, -1, None)?,
            Kind::Unsorted => draw_unsorted(&own, &settings)?,
            Kind::Sorted => draw_sorted(&own, &settings)?,
        });
        order.extend(rows);
    }
    let ids = match parts.as_slice() {
        [only] => only.clone(),
        many => {
            let mut place_of_row = vec![0; draws.len()];
            for (place, row) in order.iter().enumerate() {
                place_of_row[*row] = place;
            }
            concatenate(many, 0)?.take_axis(row_indices(&place_of_row), 0)?
        }
    };
    ids.as_dtype(Dtype::Uint32)
}

/// The settings of rows that are drawn together, as columns `[n, 1]`.
struct Settings {
    uniform: Array,
    inverse_temperature: Array,
    top_p: Array,
    top_k: Array,
    log_min_p: Option<Array>,
}

impl Settings {
    fn new(rows: &[usize], draws: &[Draw<'_>]) -> Self {
        let (mut uniform, mut inverse_temperatures, mut top_ps, mut top_ks, mut min_ps) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for draw in rows.iter().map(|row| &draws[*row]) {
            let (temperature, top_p, top_k, min_p) = match draw.sampling.strategy() {
                Strategy::Greedy => (1.0, 1.0, 0, 0.0),
                Strategy::Random { temperature, top_p, top_k, min_p } => (temperature, top_p, top_k, min_p),
            };
            uniform.push(uniform_number(draw.sampling.seed(), draw.position));
            inverse_temperatures.push(1.0 / temperature);
            top_ps.push(top_p);
            top_ks.push(if top_k == 0 { i32::MAX } else { i32::try_from(top_k).unwrap_or(i32::MAX) });
            min_ps.push(min_p);
        }
        let shape = [rows.len() as i32, 1];
        let log_min_p: Vec<f32> = min_ps.iter().map(|min_p: &f32| min_p.ln()).collect();
        Self {
            uniform: Array::from_slice(&uniform, &shape),
            inverse_temperature: Array::from_slice(&inverse_temperatures, &shape),
            top_p: Array::from_slice(&top_ps, &shape),
            top_k: Array::from_slice(&top_ks, &shape),
            log_min_p: min_ps.iter().any(|min_p| *min_p > 0.0).then(|| Array::from_slice(&log_min_p, &shape)),
        }
    }

    /// logits `[n, vocab]` with what min-p leaves out at −∞.
    fn above_min_p(&self, logits: Array) -> Result<Array> {
        match &self.log_min_p {
            None => Ok(logits),
            Some(log_min_p) => {
                let floor = logits.max_axis(-1, true)?.add(log_min_p)?;
                select(logits.ge(floor)?, &logits, Array::from_f32(f32::NEG_INFINITY))
            }
        }
    }

    /// logits `[n, vocab]` → places i32 `[n]`, each drawn by the row's uniform number.
    ///
    /// The place is found in two steps, first among blocks of the vocabulary and then within one block, so that
    /// cumulative sums run over hundreds of numbers and not over all.
    fn draw(&self, logits: &Array) -> Result<Array> {
        let (rows, vocabulary) = (logits.dim(0), logits.dim(1));
        let blocks = (vocabulary + BLOCK - 1) / BLOCK;
        // Their sum need not be 1: the uniform number is scaled by it.
        let probabilities = exponentials(&logits.multiply(&self.inverse_temperature)?)?;
        let missing = blocks * BLOCK - vocabulary;
        let probabilities = match missing {
            0 => probabilities,
            _ => concatenate(&[probabilities, zeros_dtype(&[rows, missing], Dtype::Float32)?], 1)?,
        };
        let probabilities = probabilities.reshape(&[rows, blocks, BLOCK])?;
        let block_ends = probabilities.sum_axis(-1, None)?.cumsum(-1, None, None)?;
        let target = block_ends.try_index((.., -1..))?.multiply(&self.uniform)?;
        let block = block_ends.lt(&target)?.sum_axes(&[-1], true)?;
        let before =
            block_ends.take_along_axis(maximum(block.subtract(Array::from_int(1))?, Array::from_int(0))?, -1)?;
        let before = select(block.gt(Array::from_int(0))?, before, Array::from_f32(0.0))?;
        let inside = probabilities.take_along_axis(block.expand_dims(-1)?, 1)?.reshape(&[rows, BLOCK])?;
        let inside_ends = inside.cumsum(-1, None, None)?;
        // Rounding must not lead past the block's last token that has any probability.
        let remaining = minimum(target.subtract(before)?, inside_ends.try_index((.., -1..))?)?;
        let place = inside_ends.lt(remaining)?.sum_axes(&[-1], true)?;
        block.multiply(Array::from_int(BLOCK))?.add(place)?.squeeze_axes(&[-1])?.as_dtype(Dtype::Int32)
    }
}

fn draw_unsorted(logits: &Array, settings: &Settings) -> Result<Array> {
    settings.draw(&settings.above_min_p(logits.clone())?)
}

fn draw_sorted(logits: &Array, settings: &Settings) -> Result<Array> {
    let order = argsort_axis(logits.negative()?, -1)?;
    let sorted = logits.take_along_axis(&order, -1)?;
    let probabilities = softmax_axis(&sorted, -1, true)?;
    // The sum of what comes before a token: the first token always stays.
    let before = probabilities.cumsum(-1, None, false)?;
    let rank = mlx_rs::ops::arange::<i32, i32>(None, logits.dim(-1), None)?;
    let kept = before.lt(&settings.top_p)?.logical_and(rank.lt(&settings.top_k)?)?;
    let filtered = select(kept, &sorted, Array::from_f32(f32::NEG_INFINITY))?;
    let place = settings.draw(&settings.above_min_p(filtered)?)?;
    order.take_along_axis(place.expand_dims(-1)?, -1)?.squeeze_axes(&[-1])
}

/// logits `[N, vocab]` with the newest tokens of each row made less likely, where the row asks for it
/// (Keskar et al. 2019, CTRL).
fn penalised(logits: &Array, draws: &[Draw<'_>]) -> Result<Array> {
    if draws.iter().all(|draw| draw.recent.is_none()) {
        return Ok(logits.clone());
    }
    let mut rows = Vec::with_capacity(draws.len());
    for (index, draw) in (0..).zip(draws) {
        let row = logits.try_index((index..index + 1, ..))?;
        rows.push(match draw.recent {
            None => row,
            Some(recent) => {
                let recent = recent.reshape(&[1, -1])?;
                let found = row.take_along_axis(&recent, -1)?;
                let penalty = Array::from_f32(draw.sampling.repetition_penalty());
                let weaker =
                    select(found.lt(Array::from_f32(0.0))?, found.multiply(&penalty)?, found.divide(&penalty)?)?;
                row.put_along_axis(&recent, weaker, -1)?
            }
        });
    }
    concatenate(&rows, 0)
}

fn row_indices(rows: &[usize]) -> Array {
    let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    Array::from_slice(&rows, &[rows.len() as i32])
}

/// The `position`-th random number of the stream that starts at `seed`, in (0, 1): SplitMix64 (Steele et al. 2014)
/// of the seed gives the stream its start, of start and position the number.
fn uniform_number(seed: u64, position: u64) -> f32 {
    let bits = split_mix(split_mix(seed).wrapping_add(position)) >> 41;
    (bits as f32 + 0.5) / (1_u64 << 23) as f32
}

fn split_mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_numbers_lie_strictly_between_zero_and_one() {
        for seed in 0..200 {
            for position in 0..200 {
                let number = uniform_number(seed, position);
                assert!(number > 0.0 && number < 1.0, "{number}");
            }
        }
    }

    #[test]
    fn seeds_and_positions_give_numbers_of_their_own() {
        let numbers: std::collections::HashSet<u32> =
            (0..50).flat_map(|seed| (0..50).map(move |at| uniform_number(seed * 1000, at).to_bits())).collect();
        assert!(numbers.len() > 2490);
    }
}
