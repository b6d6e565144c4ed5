//! The models that are loaded: today one at most.

use crate::session::LoadedModel;
use tokio::runtime::Handle;

/// The models that are loaded.
#[derive(Default)]
pub struct Models {
    current: Option<LoadedModel>,
    number: u64,
}

impl Models {
    /// The model that the next run is over.
    pub fn current(&self) -> Option<&LoadedModel> {
        self.current.as_ref()
    }

    /// How many were loaded so far: tells one from the one before it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes in a model that was loaded.
    pub fn put(&mut self, model: LoadedModel) {
        self.current = Some(model);
        self.number += 1;
    }

    /// Gives the model up, so that there is room for another.
    pub fn give_up(&mut self) {
        self.current = None;
    }

    /// Waits for the engine's thread: a process that ends while MLX computes crashes.
    pub fn close(&mut self) {
        if let (Some(model), Ok(runtime)) = (self.current.take(), Handle::try_current()) {
            runtime.block_on(model.engine().shutdown());
        }
    }
}
