//! What one pass over the layers needs besides the hidden states.

use crate::model::kernels::{Kernels, Positions};
use crate::model::kv::Pass;

/// One pass over the layers.
pub struct Forward<'a, 'c> {
    /// What computes.
    pub kernels: &'a dyn Kernels,
    /// Where the tokens stand.
    pub positions: &'a Positions,
    /// Whose tokens they are, and the sessions' caches.
    pub pass: &'a mut Pass<'c>,
}
