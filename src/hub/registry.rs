//! The models that this program offers by itself: `assets/models.json`. Adding a model is adding an entry there.

use crate::protocol::{ModelSource, RegistryEntry, SamplingDefaults};

/// All entries, in the order in which they are offered.
pub fn registry() -> Vec<RegistryEntry> {
    // A test holds that the file parses.
    serde_json::from_str(include_str!("../../assets/models.json")).unwrap_or_default()
}

/// The entry of `source`; none for models that the registry doesn't have.
fn entry(source: &ModelSource) -> Option<RegistryEntry> {
    registry().into_iter().find(|entry| entry.source() == *source)
}

/// Tokens that end an answer of `source` although its own files don't say so; none for models that the registry doesn't have.
pub fn extra_stop_tokens(source: &ModelSource) -> Vec<String> {
    entry(source).map_or_else(Vec::new, |entry| entry.extra_stop_tokens)
}

/// How the makers of `source` advise to sample; nothing for models that the registry doesn't have.
pub fn sampling_defaults(source: &ModelSource) -> SamplingDefaults {
    entry(source).map_or_else(SamplingDefaults::default, |entry| entry.sampling)
}
