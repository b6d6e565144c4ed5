//! The three ways to run sessions over one model.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the decode steps of concurrent sessions share the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Execution {
    /// Each session decodes by itself; steps take turns.
    Serialized,
    /// All sessions share each step's matrix products.
    Batched,
    /// Batched in cohorts of one fixed width, so that a session's tokens never depend on its neighbours.
    #[default]
    Exact,
}

impl Execution {
    /// Every execution, in the order in which a person chooses among them.
    pub const ALL: [Self; 3] = [Self::Serialized, Self::Batched, Self::Exact];

    /// The name used on the command line, in JSON and in the window.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serialized => "serialized",
            Self::Batched => "batched",
            Self::Exact => "exact",
        }
    }
}

impl fmt::Display for Execution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
