//! The models that are loaded, and which of them the next run is over: today one is loaded at most.

use crate::protocol::{HeldMemory, ModelId};
use crate::session::{LoadedModel, Registry};
use std::mem;
use tokio::runtime::Handle;

/// The models that are loaded.
#[derive(Default)]
pub struct Models {
    registry: Registry,
    current: Option<ModelId>,
    loads: u64,
}

impl Models {
    /// The model that the next run is over.
    pub fn current(&self) -> Option<&LoadedModel> {
        self.registry.get(self.current.as_ref()?)
    }

    /// Every model.
    pub fn all(&self) -> impl Iterator<Item = &LoadedModel> {
        self.registry.iter().map(|(_, model)| model)
    }

    /// How many were loaded so far: tells models apart that come one after the other under one id.
    pub fn loads(&self) -> u64 {
        self.loads
    }

    /// What is spoken for besides the weights of the current one.
    pub fn held(&self) -> HeldMemory {
        self.registry.held_beside(self.current.as_ref())
    }

    /// Takes in a model that was loaded: the next run is over it.
    pub fn put(&mut self, model: LoadedModel) {
        self.give_up();
        self.current = Some(self.registry.insert(model));
        self.loads += 1;
    }

    /// Gives the current model up, so that there is room for another.
    pub fn give_up(&mut self) {
        if let Some(id) = self.current.take() {
            self.registry.remove(&id);
        }
    }

    /// Waits for the engines' threads: a process that ends while MLX computes crashes.
    pub fn close(&mut self) {
        self.current = None;
        let registry = mem::take(&mut self.registry);
        if let Ok(runtime) = Handle::try_current() {
            registry.iter().for_each(|(_, model)| runtime.block_on(model.engine().shutdown()));
        }
    }
}
