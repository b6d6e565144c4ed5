//! Which cohort widths make a row's products independent of its place and its neighbours, bit for bit.
//!
//! Matrix kernels choose their blocking by the number of rows, so a row's bits may depend on how many there are, and
//! at some widths on where among them it stands. Exact execution needs one width at which only the row itself counts.
//! This asks the model's own matrices: the same row, at every place, beside random neighbours.

use super::decoder::Decoder;
use crate::engine::BackendError;
use crate::protocol::DeviceKind;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, random};

/// Widths to try, the one preferred first: the wider a cohort, the less a row costs.
fn candidates(device: DeviceKind) -> &'static [usize] {
    match device {
        DeviceKind::Cpu => &[16, 12, 8, 4, 2, 1],
        DeviceKind::Gpu => &[32, 16, 8, 4, 2, 1],
    }
}

/// The first width that passes, or why there is none.
pub(super) fn choose_width(decoder: &Decoder, device: DeviceKind) -> std::result::Result<u32, String> {
    for width in candidates(device) {
        match passes(decoder, *width) {
            Ok(true) => return Ok(*width as u32),
            Ok(false) => {}
            Err(error) => return Err(format!("the width for exact execution could not be probed: {}", error.what())),
        }
    }
    Err("exact execution is not possible here: at no width are this device's matrix products independent of a row's \
         neighbours"
        .into())
}

/// Refuses a width at which a row's bits depend on its place or its neighbours.
pub(super) fn check_width(decoder: &Decoder, width: usize) -> std::result::Result<(), BackendError> {
    if width == 0 || width > 64 {
        return Err(BackendError(format!("the exact width must be from 1 to 64, not {width}")));
    }
    if passes(decoder, width)? {
        return Ok(());
    }
    Err(BackendError(format!(
        "at width {width} this device's matrix products depend on a row's neighbours, so nothing would be exact; leave \
         the width out to let it be chosen"
    )))
}

fn passes(decoder: &Decoder, width: usize) -> Result<bool> {
    let first_layer = decoder.layers.first().map(|layer| layer.weights()).unwrap_or_default();
    let output = decoder.lm_head.as_ref().unwrap_or(&decoder.embed_tokens);
    for (seed, weight) in (0..).zip(first_layer.into_iter().chain([output])) {
        if !is_row_independent(|x| weight.product(x), weight.inputs(), width as i32, decoder, seed)? {
            return Ok(false);
        }
    }
    match decoder.layers.iter().find_map(|layer| layer.experts()) {
        Some(experts) => {
            is_row_independent(|x| experts.forward(x), experts.gate.weight().inputs(), width as i32, decoder, 0)
        }
        None => Ok(true),
    }
}

/// Whether `product` gives a row of `inputs` numbers the same bits at every place among `width` rows.
fn is_row_independent(
    product: impl Fn(&Array) -> Result<Array>,
    inputs: i32,
    width: i32,
    decoder: &Decoder,
    seed: u64,
) -> Result<bool> {
    let noise = |rows: i32, seed: u64| -> Result<Array> {
        let key = random::key(seed)?;
        random::normal::<f32>(&[rows, 1, inputs], None, None, &key)?.as_dtype(decoder.kv_shape.dtype)
    };
    let row = noise(1, seed)?;
    let mut reference: Option<Array> = None;
    for place in 0..width {
        let neighbours = noise(width, 1000 * (seed + 1) + place as u64)?;
        let input =
            concatenate(&[neighbours.try_index(..place)?, row.clone(), neighbours.try_index(place..width - 1)?], 0)?;
        let output = product(&input)?.try_index(place..place + 1)?;
        match &reference {
            None => reference = Some(output),
            Some(reference) => {
                if !reference.eq_exact(&output)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}
