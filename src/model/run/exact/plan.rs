//! How exact execution shares steps and passes, as a probe of the model on its device found it.

use crate::model::kernels::Company;

/// How exact execution runs on this device with this model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactPlan {
    /// Widths that give a row the same bits, ascending. The last one is the cohort's; a narrower one serves where so
    /// few rows run that most of the cohort would be padding.
    pub widths: Vec<usize>,
    /// Which sessions may be attended in one operation.
    pub company: Company,
    /// How prompts are read.
    pub reading: ExactReading,
}

/// How exact execution reads prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExactReading {
    /// As batched execution does: a token gets the same bits in any pass.
    Freely,
    /// Several prompts share a pass, each in blocks of its own.
    InBlocks,
    /// Each prompt has its passes to itself, cut at the same places.
    Alone,
}

/// Rows of a block of prefill. OpenBLAS's kernels take rows by twelve, so a row's place among these may count.
pub const BLOCK: usize = 12;
/// Rows that a pass of blocks may have: those that the probe tries. Two or four threads share them without cutting a
/// block.
pub const PASSES: [usize; 6] = [48, 96, 144, 192, 288, 384];
/// The most rows of a pass.
pub const LARGEST_PASS: usize = 384;

/// How many rows a pass has that holds `rows`.
pub fn rows_of_pass(rows: usize) -> usize {
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
