//! Prompts that begin alike are read once: the newest prefilled caches are kept, and a session whose prompt begins
//! with the same tokens starts from a copy.
//!
//! A snapshot shares the memory of the cache that it was taken of, so keeping it costs nothing until that one's session has
//! left.

use crate::engine::common_beginning;
use crate::model::kernels::KvSnapshot;
use crate::protocol::Execution;
use mlx_rs::Array;
use std::collections::VecDeque;
use std::sync::Arc;

/// Below this, sharing saves less than it costs.
const SHORTEST: usize = 16;
/// The most memory that is kept, all caches together.
const MOST_BYTES: usize = 512 << 20;

/// The newest prefilled caches.
#[derive(Debug, Default)]
pub struct PrefixStore {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The tokens that the cache holds.
    tokens: Arc<[u32]>,
    /// Whether it was read at exact execution's boundaries.
    exact: bool,
    cache: KvSnapshot,
    /// What the first decode step after these tokens gave, by the token that it fed.
    first_step: Option<FirstStep>,
}

#[derive(Debug)]
struct FirstStep {
    token: u32,
    /// Holds that token too.
    cache: KvSnapshot,
    /// `[1, vocab]`.
    logits: Array,
}

impl PrefixStore {
    /// A cache that holds the longest known beginning of `tokens`, cut to a multiple of `cut` unless it was made
    /// of the very same tokens.
    pub fn longest(&self, tokens: &[u32], execution: Execution, cut: usize) -> Option<KvSnapshot> {
        let exact = execution == Execution::Exact;
        let shared = |entry: &Entry| common_beginning(&entry.tokens, tokens, cut);
        let entries = self.entries.iter().filter(|entry| entry.exact == exact);
        let usable = entries.map(|entry| (shared(entry), entry)).filter(|(length, _)| *length >= SHORTEST);
        let caches = usable.filter_map(|(length, entry)| entry.cache.beginning(length as i32));
        caches.max_by_key(KvSnapshot::length)
    }

    /// Keeps a cache that holds exactly `tokens`; it takes the place of those whose tokens it begins with.
    pub fn keep(&mut self, tokens: &[u32], execution: Execution, cache: &KvSnapshot) {
        let exact = execution == Execution::Exact;
        if tokens.len() < SHORTEST {
            return;
        }
        self.entries.retain(|entry| entry.exact != exact || !tokens.starts_with(&entry.tokens));
        self.entries.push_front(Entry { tokens: tokens.into(), exact, cache: cache.clone(), first_step: None });
        let mut total = 0;
        self.entries.retain(|entry| {
            total += entry.cache.bytes();
            total <= MOST_BYTES
        });
    }

    /// Keeps what the first decode step of `prompt` gave, where what it was prefilled to is kept: its cache and its logits
    /// `[1, vocab]`, from which every session with that prompt samples its own first token.
    pub fn keep_first_step(&mut self, prompt: &[u32], execution: Execution, cache: &KvSnapshot, logits: &Array) {
        if let Some((token, entry)) = self.of_prompt(prompt, execution) {
            entry.first_step = Some(FirstStep { token, cache: cache.clone(), logits: logits.clone() });
        }
    }

    /// What the first decode step of `prompt` gave, where it is known.
    pub fn first_step(&mut self, prompt: &[u32], execution: Execution) -> Option<(KvSnapshot, Array)> {
        let (token, entry) = self.of_prompt(prompt, execution)?;
        let first_step = entry.first_step.as_ref().filter(|step| step.token == token)?;
        Some((first_step.cache.clone(), first_step.logits.clone()))
    }

    /// A prompt's last token, and the entry of all before it.
    fn of_prompt(&mut self, prompt: &[u32], execution: Execution) -> Option<(u32, &mut Entry)> {
        let (token, tokens) = prompt.split_last()?;
        let exact = execution == Execution::Exact;
        let entry = self.entries.iter_mut().find(|entry| entry.exact == exact && *entry.tokens == *tokens)?;
        Some((*token, entry))
    }

    /// Forgets everything, so that its memory can go.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::model::kernels::{KernelChoice, KvShape, choose};
    use crate::model::kv::KvCache;
    use crate::protocol::DeviceKind;
    use mlx_rs::Dtype;

    const SHAPE: KvShape = KvShape { layers: 1, kv_heads: 1, head_dim: 4, dtype: Dtype::Float32 };

    #[test]
    fn only_sessions_with_the_same_last_token_and_kind_of_execution_share_a_prompts_first_step() {
        let prompt: Vec<u32> = (0..=20).collect();
        let kernels = choose(DeviceKind::Cpu, KernelChoice::Mlx).unwrap();
        let (mut store, cache) = (PrefixStore::default(), KvCache::new(&*kernels, &SHAPE).unwrap().snapshot());
        let logits = Array::from_slice(&[1.0_f32, 2.0], &[1, 2]);
        store.keep_first_step(&prompt, Execution::Batched, &cache, &logits);
        assert!(store.first_step(&prompt, Execution::Batched).is_none(), "its tokens are not kept");
        store.keep(&prompt[..20], Execution::Batched, &cache);
        assert!(store.first_step(&prompt, Execution::Batched).is_none());
        store.keep_first_step(&prompt, Execution::Batched, &cache, &logits);
        let known = store.first_step(&prompt, Execution::Serialized).unwrap().1;
        assert!(known.eq_exact(&logits).unwrap());
        assert!(store.first_step(&prompt, Execution::Exact).is_none());
        let other: Vec<u32> = (0..20).chain([7]).collect();
        assert!(store.first_step(&other, Execution::Batched).is_none());
        store.clear();
        assert!(store.first_step(&prompt, Execution::Batched).is_none());
    }
}
