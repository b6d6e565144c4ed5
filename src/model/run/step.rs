//! Launched decode steps: ids that the device still computes, and whose they are.

use crate::engine::{BackendError, StepOutput};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use std::rc::Rc;

/// Launched decode steps of one or more groups of rows.
#[derive(Debug)]
pub struct MlxStep(pub(super) Vec<Launched>);

/// One graph's outputs.
#[derive(Debug)]
pub(super) struct Launched {
    /// u32 `[rows]`; padding rows included.
    pub ids: Rc<Array>,
    /// `[rows, vocab]`, where a row wants them hashed.
    pub logits: Option<Array>,
    pub rows: Vec<LaunchedRow>,
}

/// A row that is no padding.
#[derive(Debug)]
pub(super) struct LaunchedRow {
    /// Its place in the engine's order.
    pub place: usize,
    /// Whether it wants its logits hashed.
    pub hashed: bool,
}

impl MlxStep {
    /// Waits for the step. One output a row, in the order in which the engine gave the rows.
    pub(in crate::model) fn read(self) -> Result<Vec<StepOutput>, BackendError> {
        eval(self.0.iter().flat_map(|launched| [&*launched.ids].into_iter().chain(&launched.logits)))?;
        let mut outputs = Vec::new();
        for launched in self.0 {
            let ids = launched.ids.try_as_slice::<u32>().map_err(|error| BackendError(error.to_string()))?;
            let hashes = launched.hashes()?;
            let rows = launched.rows.iter().zip(ids).zip(hashes);
            outputs
                .extend(rows.map(|((row, token), logits_hash)| (row.place, StepOutput { token: *token, logits_hash })));
        }
        outputs.sort_by_key(|(place, _)| *place);
        Ok(outputs.into_iter().map(|(_, output)| output).collect())
    }
}

impl Launched {
    /// One hash for each real row that asked for it: FNV-1a over the bits of its logits.
    fn hashes(&self) -> Result<Vec<Option<u64>>, BackendError> {
        let Some(logits) = &self.logits else { return Ok(vec![None; self.rows.len()]) };
        let values =
            logits.as_dtype(Dtype::Float32)?.to_vec_exact::<f32>().map_err(|error| BackendError(error.to_string()))?;
        let rows = values.chunks(logits.dim(-1) as usize).zip(&self.rows);
        let hash = |row: &[f32]| {
            row.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
                (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3)
            })
        };
        Ok(rows.map(|(values, row)| row.hashed.then(|| hash(values))).collect())
    }
}
