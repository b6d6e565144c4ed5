//! One session on the device: its KV cache, its sampling, its place in the prompt and in its random numbers.

use super::sampler::{Draw, PENALTY_WINDOW};
use crate::model::kv::{AHEAD, KvCache, Seat};
use crate::protocol::{Execution, Sampling, SessionRequest};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use std::rc::Rc;
use std::sync::Arc;

/// One session's state on the device.
#[derive(Debug)]
pub struct Row {
    pub(super) prompt: Arc<[u32]>,
    /// Tokens that the KV cache holds or that launched steps are about to write.
    pub(super) position: i32,
    pub(super) kv: RowKv,
    pub(super) next: NextToken,
    pub(super) hash_logits: bool,
    pub(super) execution: Execution,
    /// How many tokens its cache is made for at once.
    pub(super) expected_tokens: i32,
    sampling: Sampling,
    drawn: u64,
    recent: Option<Array>,
}

/// Where a session's keys and values are.
#[derive(Debug)]
pub(super) enum RowKv {
    /// In a cache of its own.
    Own(KvCache),
    /// In a cache with others that step together.
    Shared(Seat),
}

impl RowKv {
    /// The cache, where it is the row's own.
    pub fn own(&mut self) -> Option<&mut KvCache> {
        match self {
            Self::Own(cache) => Some(cache),
            Self::Shared(_) => None,
        }
    }

    /// The seat, where the row has one.
    pub fn seat(&self) -> Option<&Seat> {
        match self {
            Self::Own(_) => None,
            Self::Shared(seat) => Some(seat),
        }
    }
}
/// The token that the row feeds next.
#[derive(Clone, Debug)]
pub(super) enum NextToken {
    /// Known: the last one of the prompt.
    Known(u32),
    /// Row `index` of a step's sampled ids, which may not have been computed yet.
    Sampled { ids: Rc<Array>, index: i32 },
}

impl NextToken {
    /// As u32 `[1]`.
    pub(super) fn array(&self) -> Result<Array> {
        match self {
            Self::Known(id) => Ok(Array::from_slice(&[*id], &[1])),
            Self::Sampled { ids, index } => ids.try_index(*index..*index + 1),
        }
    }
}

impl Row {
    /// A row that has read nothing of its prompt; the prompt is not empty.
    pub(super) fn new(request: &SessionRequest, execution: Execution, kv: KvCache) -> Option<Self> {
        let last = *request.prompt.last()?;
        let penalises = request.sampling.repetition_penalty() != 1.0;
        let tail = &request.prompt[request.prompt.len().saturating_sub(PENALTY_WINDOW)..];
        Some(Self {
            prompt: Arc::clone(&request.prompt),
            execution,
            expected_tokens: (request.prompt.len() + request.max_tokens.min(AHEAD as u32) as usize) as i32,
            position: 0,
            kv: RowKv::Own(kv),
            next: NextToken::Known(last),
            hash_logits: request.hash_logits,
            sampling: request.sampling,
            drawn: 0,
            recent: penalises.then(|| Array::from_slice(tail, &[tail.len() as i32])),
        })
    }

    /// Prompt tokens to prefill in all: the last one is fed by the first decode step.
    pub(super) fn prefill_total(&self) -> usize {
        self.prompt.len() - 1
    }

    /// How many of these are read.
    pub(in crate::model) fn prefilled(&self) -> usize {
        (self.position as usize).min(self.prefill_total())
    }

    /// What the row asks of the sampler in its next step.
    pub(super) fn draw(&self) -> Draw<'_> {
        Draw { sampling: &self.sampling, position: self.drawn, recent: self.recent.as_ref() }
    }

    /// Takes row `index` of a launched step's ids as the next token.
    pub(super) fn take_sampled(&mut self, ids: &Rc<Array>, index: i32) -> Result<()> {
        self.next = NextToken::Sampled { ids: Rc::clone(ids), index };
        self.position += 1;
        self.drawn += 1;
        if let Some(recent) = self.recent.take() {
            let keep = (recent.dim(0) - PENALTY_WINDOW as i32 + 1).max(0);
            let newer = [recent.try_index(keep..)?, self.next.array()?];
            self.recent = Some(concatenate(&newer, 0)?);
        }
        Ok(())
    }
}
