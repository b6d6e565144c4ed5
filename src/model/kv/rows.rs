//! One decode step of many sessions, each attending over its own unpadded cache.

use super::attention::attend_one_token;
use super::{Attend, AttentionSettings, KvCache};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, zeros_dtype};

/// Attention of one token of each session. A step may be wider than there are sessions: the rows behind the last
/// session are padding, which attends to nothing and gets zeros.
#[derive(Debug)]
pub struct EachOwn<'a>(pub Vec<&'a mut KvCache>);

impl Attend for EachOwn<'_> {
    fn attend(
        &mut self,
        layer: usize,
        queries: &Array,
        keys: &Array,
        values: &Array,
        settings: AttentionSettings,
    ) -> Result<Array> {
        let width = queries.dim(0);
        let mut outputs = Vec::with_capacity(self.0.len() + 1);
        for (row, cache) in (0..).zip(&mut self.0) {
            let at = |array: &Array| array.try_index((row..row + 1, .., .., ..));
            let skip = settings.window.map_or(0, |window| (cache.length() + 1 - window).max(0));
            let (keys, values) = cache.append(layer, &at(keys)?, &at(values)?, skip)?;
            outputs.push(attend_one_token(&at(queries)?, &keys, &values, None, settings)?);
        }
        let padding = width - self.0.len() as i32;
        if padding > 0 {
            outputs.push(zeros_dtype(&[padding, queries.dim(1), 1, queries.dim(3)], queries.dtype())?);
        }
        match outputs.as_slice() {
            [only] => Ok(only.clone()),
            many => concatenate(many, 0),
        }
    }
}
