//! The models that this program offers by itself: `assets/models.json`. Adding a model is adding an entry there.

use crate::protocol::RegistryEntry;

/// All entries, in the order in which they are offered.
pub fn registry() -> Vec<RegistryEntry> {
    // A test holds that the file parses.
    serde_json::from_str(include_str!("../../assets/models.json")).unwrap_or_default()
}
