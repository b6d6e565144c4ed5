//! Prompts that begin alike are read once: the newest prefilled caches are kept, and a session whose prompt begins
//! with the same tokens starts from a copy.
//!
//! MLX arrays are values: a copy shares its memory until one side writes, so keeping a cache costs nothing until then.

use super::kv::KvCache;
use crate::protocol::Execution;
use mlx_rs::Array;
use std::collections::VecDeque;
use std::sync::Arc;

/// Below this, sharing saves less than it costs.
const SHORTEST: usize = 16;
/// The most memory that is kept, all caches together.
const MOST_BYTES: usize = 512 << 20;

/// How many tokens two prompts have in common at their beginnings, cut to a multiple of `granularity` unless they are the
/// very same.
pub(super) fn common_beginning(one: &[u32], other: &[u32], granularity: usize) -> usize {
    let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    if one == other { common } else { common / granularity * granularity }
}

/// The newest prefilled caches.
#[derive(Debug, Default)]
pub(super) struct PrefixStore {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The tokens that the cache holds.
    tokens: Arc<[u32]>,
    /// Whether it was read at exact execution's boundaries.
    exact: bool,
    cache: KvCache,
}

impl PrefixStore {
    /// A cache that holds the longest known beginning of `tokens`, cut to a multiple of `granularity` unless it was made
    /// of the very same tokens.
    pub fn longest(&self, tokens: &[u32], execution: Execution, granularity: usize) -> Option<KvCache> {
        let exact = execution == Execution::Exact;
        let shared = |entry: &Entry| common_beginning(&entry.tokens, tokens, granularity);
        let entries = self.entries.iter().filter(|entry| entry.exact == exact);
        let usable = entries.map(|entry| (shared(entry), entry)).filter(|(length, _)| *length >= SHORTEST);
        let caches = usable.filter_map(|(length, entry)| entry.cache.beginning(length as i32));
        caches.max_by_key(KvCache::length)
    }

    /// Keeps a cache that holds exactly `tokens`; it takes the place of those whose tokens it begins with.
    pub fn keep(&mut self, tokens: &[u32], execution: Execution, cache: &KvCache) {
        let exact = execution == Execution::Exact;
        if tokens.len() < SHORTEST {
            return;
        }
        self.entries.retain(|entry| entry.exact != exact || !tokens.starts_with(&entry.tokens));
        self.entries.push_front(Entry { tokens: tokens.into(), exact, cache: cache.clone() });
        let mut total = 0;
        self.entries.retain(|entry| {
            total += entry.cache.arrays().map(Array::nbytes).sum::<usize>();
            total <= MOST_BYTES
        });
    }

    /// Forgets everything, so that its memory can go.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
