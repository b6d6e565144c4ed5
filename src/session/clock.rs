//! A run's clock: zero is the first submit.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Seconds from a run's first submit; all clones agree.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<OnceLock<Instant>>);

impl Clock {
    /// Notes a submit.
    pub fn submit(&self, at: Instant) {
        self.0.get_or_init(|| at);
    }

    /// Seconds from the first submit to `at`; 0 before it.
    pub fn seconds(&self, at: Instant) -> f64 {
        self.0.get().map_or(0.0, |zero| at.saturating_duration_since(*zero).as_secs_f64())
    }
}
