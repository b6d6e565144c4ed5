//! How prompts may be cut, shared and read together, as plain data: what a backend says of an execution.

/// How the prompts of one execution are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptRules {
    /// Prompts are cut at multiples of so many tokens, counted from their beginning, and their beginnings are shared up to
    /// such a cut; 1 where any place will do. At least 1.
    pub cut: usize,
    /// Whether a pass over a prompt ends at the next cut, however much it may read.
    pub stops_at_cut: bool,
    /// Whether one pass over several prompts takes less time than one over each.
    pub together: bool,
}

impl PromptRules {
    /// How many tokens one pass reads of a prompt of `total` tokens to prefill, `held` of which are read, where it may
    /// read `limit`: 0 where none is left, more than `limit` where the next cut lies beyond it.
    pub fn pass(&self, held: usize, total: usize, limit: usize) -> usize {
        let (unread, cut) = (total.saturating_sub(held), self.cut.max(1));
        let to_next_cut = cut - held % cut;
        match () {
            () if self.stops_at_cut => unread.min(to_next_cut),
            // As many whole chunks as the limit allows.
            () if limit < unread => unread.min(to_next_cut + limit.saturating_sub(to_next_cut) / cut * cut),
            () => unread,
        }
    }
}

/// How many tokens two prompts have in common at their beginnings, cut to a multiple of `cut` unless they are the very
/// same.
pub fn common_beginning(one: &[u32], other: &[u32], cut: usize) -> usize {
    let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    if one == other { common } else { common / cut.max(1) * cut.max(1) }
}
