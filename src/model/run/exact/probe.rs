//! At which widths a row's products depend on nothing but the row, bit for bit.
//!
//! Matrix kernels choose their blocking by the number of rows, so a row's bits may depend on how many there are, and
//! at some widths on where among them it stands. Exact execution needs one width at which only the row itself counts.
//! This asks the model's own layers, with random rows in changing places beside changing neighbours. For prefill it
//! asks whether a row depends on nothing in a pass of any length, or else whether blocks of rows can share one: kernels
//! tile rows, so a row's place within its block may count, but the block's place and the number of blocks must not.

use super::attention::{attends_ragged_as_alone, attends_together_as_alone};
use super::noise::noise;
use super::plan::{BLOCK, ExactPlan, ExactReading, LARGEST_PASS, PASSES};
use crate::engine::BackendError;
use crate::model::kernels::{Company, Kernels};
use crate::model::layers::{Decoder, Layer};
use crate::protocol::DeviceKind;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype};

/// Widths to try, the one preferred first: the wider a cohort, the less a row costs.
fn candidates(device: DeviceKind) -> &'static [usize] {
    match device {
        DeviceKind::Cpu => &[32, 16, 12, 8, 4, 2, 1],
        DeviceKind::Gpu => &[32, 16, 8, 4, 2, 1],
    }
}

/// The plan for the first width that passes, or why there is none.
pub fn choose_plan(
    decoder: &Decoder,
    kernels: &dyn Kernels,
    device: DeviceKind,
) -> std::result::Result<ExactPlan, String> {
    for width in candidates(device) {
        match plan(decoder, kernels, *width, device) {
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
pub fn check_width(
    decoder: &Decoder,
    kernels: &dyn Kernels,
    width: usize,
    device: DeviceKind,
) -> std::result::Result<ExactPlan, BackendError> {
    if width == 0 || width > 64 {
        return Err(BackendError(format!("the exact width must be from 1 to 64, not {width}")));
    }
    plan(decoder, kernels, width, device)?.ok_or_else(|| {
        BackendError(format!(
            "at width {width} this device's matrix products depend on a row's neighbours, so nothing would be exact; \
             leave the width out to let it be chosen"
        ))
    })
}

fn plan(decoder: &Decoder, kernels: &dyn Kernels, width: usize, device: DeviceKind) -> Result<Option<ExactPlan>> {
    let mut experts = decoder.layers.iter().filter_map(|layer| layer.experts());
    // What is wrong now and then can't be found by trying.
    if experts.any(|experts| !experts.is_reliable(kernels)) {
        return Ok(None);
    }
    let probe = Probe::new(decoder, kernels);
    let Some(expected) = probe.first_row(width)? else { return Ok(None) };
    let mut widths = Vec::new();
    for narrower in (1..width).filter(|narrower| narrower.is_power_of_two() || narrower % 4 == 0) {
        if let Some(products) = probe.first_row(narrower)?
            && products.eq_exact(&expected)?
        {
            widths.push(narrower);
        }
    }
    widths.push(width);
    let dtype = decoder.kv_shape.dtype;
    let (mut attends_alike, mut rows_stand_alone) = (true, true);
    for attention in decoder.layers.iter().take(DISTINCT_LAYERS).map(|layer| layer.attention()) {
        attends_alike = attends_alike && attends_together_as_alone(attention, kernels, width, device, dtype)?;
        rows_stand_alone = rows_stand_alone && attends_ragged_as_alone(attention, kernels, dtype)?;
    }
    if kernels.promises().attends_own_caches && !rows_stand_alone {
        return Ok(None);
    }
    let reading = match device {
        DeviceKind::Cpu if rows_stand_alone && probe.tokens_stand_alone()? => ExactReading::Freely,
        DeviceKind::Cpu if probe.blocks_are_alike()? => ExactReading::InBlocks,
        // A GPU is busy with one prompt, and its kernels change with the number of rows.
        DeviceKind::Cpu | DeviceKind::Gpu => ExactReading::Alone,
    };
    let company = match (rows_stand_alone, attends_alike) {
        (true, _) => Company::Any,
        (false, true) => Company::EquallyLong(width),
        (false, false) => Company::EquallyLong(1),
    };
    Ok(Some(ExactPlan { widths, company, reading }))
}

/// Layers differ in their windows at most, and in the first few of them each kind comes up.
const DISTINCT_LAYERS: usize = 2;

/// The model's products, asked with random rows.
struct Probe<'a> {
    decoder: &'a Decoder,
    kernels: &'a dyn Kernels,
    /// The first layer, and the first one with a mixture of experts.
    layers: Vec<&'a dyn Layer>,
    hidden_size: i32,
    dtype: Dtype,
}

impl<'a> Probe<'a> {
    fn new(decoder: &'a Decoder, kernels: &'a dyn Kernels) -> Self {
        let layers = || decoder.layers.iter().map(|layer| &**layer);
        let sparse = layers().skip(1).find(|layer| layer.experts().is_some());
        let layers = layers().take(1).chain(sparse).collect();
        Self { decoder, kernels, layers, hidden_size: decoder.embed_tokens.inputs(), dtype: decoder.kv_shape.dtype }
    }

    fn noise(&self, rows: i32, seed: u64) -> Result<Array> {
        noise(&[rows, self.hidden_size], seed, self.dtype)
    }

    /// What the layers' products give for the rows x, side by side.
    fn products_of_layers(&self, x: &Array) -> Result<Array> {
        let mut products = Vec::new();
        for layer in &self.layers {
            products.extend(layer.products(self.kernels, x)?);
        }
        concatenate(&products, -1)
    }

    /// [`Probe::products_of_layers`], followed by the logits.
    fn products(&self, x: &Array) -> Result<Array> {
        concatenate(&[self.products_of_layers(x)?, self.decoder.logits(self.kernels, x)?], -1)
    }

    /// What the products give for the first of `width` random rows; none where a row's result changes as it moves one place
    /// on, beside other neighbours.
    fn first_row(&self, width: usize) -> Result<Option<Array>> {
        let width = width as i32;
        // The first row is the same at every width.
        let rows = concatenate(&[self.noise(1, 0)?, self.noise(width, 100)?], 0)?;
        let strangers = self.noise(width, 200)?;
        let here = self.products(&rows.try_index(..width)?)?;
        for parity in 0..2 {
            // Every second row moves one place on; strangers take the other places.
            let source = |place: i32| (place + width - 1) % width;
            let moves = |place: &i32| source(*place) % 2 == parity;
            let moved = (0..width).map(|place| match source(place) {
                row if moves(&place) => rows.try_index(row..row + 1),
                _ => strangers.try_index(place..place + 1),
            });
            let there = self.products(&concatenate(&moved.collect::<Result<Vec<_>>>()?, 0)?)?;
            let places: Vec<i32> = (0..width).filter(moves).collect();
            let sources: Vec<i32> = places.iter().copied().map(source).collect();
            let of = |array: &Array, rows: &[i32]| array.take_axis(Array::from_slice(rows, &[rows.len() as i32]), 0);
            if !places.is_empty() && !of(&here, &sources)?.eq_exact(of(&there, &places)?)? {
                return Ok(None);
            }
        }
        Ok(Some(here.try_index(0..1)?))
    }

    fn has_experts(&self) -> bool {
        self.layers.iter().any(|layer| layer.experts().is_some())
    }

    /// Whether a random row has the same products alone and in passes of several lengths, wherever it stands.
    fn tokens_stand_alone(&self) -> Result<bool> {
        if self.has_experts() {
            return Ok(false);
        }
        let row = self.noise(1, 0)?;
        let alone = self.products_of_layers(&row)?;
        for others in [1, 12, 99, LARGEST_PASS as i32 - 1] {
            let strangers = self.noise(others, 100)?;
            for place in [0, others / 2, others] {
                let pass = [strangers.try_index(..place)?, row.clone(), strangers.try_index(place..)?];
                let products = self.products_of_layers(&concatenate(&pass, 0)?)?;
                if !alone.eq_exact(products.try_index(place..place + 1)?)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a block of random rows has the same products in every place of every pass, beside other blocks.
    fn blocks_are_alike(&self) -> Result<bool> {
        if self.has_experts() {
            return Ok(false);
        }
        let (block, stranger) = (self.noise(BLOCK as i32, 0)?, self.noise(BLOCK as i32, 100)?);
        let mut expected: Option<Array> = None;
        for (rows, parity) in PASSES.into_iter().flat_map(|rows| [(rows, 0), (rows, 1)]) {
            let pass = (0..rows / BLOCK).map(|place| if place % 2 == parity { &block } else { &stranger });
            let products = self.products_of_layers(&concatenate(&pass.collect::<Vec<_>>(), 0)?)?;
            let products = products.reshape(&[(rows / BLOCK) as i32, BLOCK as i32, -1])?;
            for place in (0..products.dim(0)).filter(|place| *place % 2 == parity as i32) {
                let product = products.try_index(place)?;
                if !expected.get_or_insert_with(|| product.clone()).eq_exact(product)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
