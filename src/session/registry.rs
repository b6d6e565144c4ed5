//! The loaded models by id, and whether a run over one of them, or the load of another, fits beside all of them.

use super::loaded::LoadedModel;
use crate::protocol::{DeviceKind, Footprint, HeldMemory, MachineMemory, MemoryPrediction, ModelId, ParallelConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The loaded models, in the order in which they were loaded.
#[derive(Debug, Default)]
pub struct Registry(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    id: ModelId,
    model: LoadedModel,
    /// Bytes of KV caches that runs over it may fill.
    promised: Arc<AtomicU64>,
}

/// Memory that a run may fill, counted as long as this is kept.
#[derive(Debug)]
pub struct Promise {
    bytes: u64,
    promised: Arc<AtomicU64>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Registry {
    /// Adds a model. Its id is its name, with a number where another model has that name already.
    pub fn insert(&mut self, model: LoadedModel) -> ModelId {
        let name = model.summary().name.as_str();
        let numbered = (2..).map(|number| ModelId::new(format!("{name} ({number})")));
        let mut ids = std::iter::once(ModelId::new(name)).chain(numbered);
        let id = ids.find(|id| self.get(id).is_none()).unwrap_or_else(|| ModelId::new(name));
        self.0.push(Entry { id: id.clone(), model, promised: Arc::default() });
        id
    }

    /// The model of this id.
    pub fn get(&self, id: &ModelId) -> Option<&LoadedModel> {
        self.entry(id).map(|entry| &entry.model)
    }

    /// Takes a model out. It is unloaded once nobody holds it any more; `EngineHandle::shutdown` waits for that.
    pub fn remove(&mut self, id: &ModelId) -> Option<LoadedModel> {
        let place = self.0.iter().position(|entry| entry.id == *id)?;
        Some(self.0.remove(place).model)
    }

    /// All models, in the order in which they were loaded.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ModelId, &LoadedModel)> {
        self.0.iter().map(|entry| (&entry.id, &entry.model))
    }

    /// What is spoken for besides the weights of model `id`: other models' weights, and the caches of all runs that are on.
    /// Without an id, what all models and runs take.
    pub fn held_beside(&self, id: Option<&ModelId>) -> HeldMemory {
        let all_weights: u64 = self.0.iter().map(|entry| entry.model.summary().facts.weight_bytes).sum();
        let own = id.and_then(|id| self.get(id)).map_or(0, |model| model.summary().facts.weight_bytes);
        let promised = |entry: &Entry| entry.promised.load(Ordering::Relaxed);
        // MLX counts a whole process. Only engines that have work keep the figure up to date.
        let working = self.0.iter().filter(|entry| promised(entry) > 0);
        let active = working.map(|entry| entry.model.engine().memory().active).min().unwrap_or(0);
        HeldMemory {
            weights: all_weights - own,
            kv_caches: self.0.iter().map(promised).sum(),
            filled: active.saturating_sub(all_weights),
        }
    }

    /// What a run over model `id` will need beside everything else; none where there is no such model.
    pub fn predict_run(
        &self,
        id: &ModelId,
        config: &ParallelConfig,
        machine: MachineMemory,
    ) -> Option<MemoryPrediction> {
        let facts = &self.get(id)?.summary().facts;
        Some(MemoryPrediction::of(config, facts, machine).beside(self.held_beside(Some(id))))
    }

    /// What another model will need beside everything that is loaded.
    pub fn predict_load(&self, footprint: &Footprint, device: DeviceKind, machine: MachineMemory) -> MemoryPrediction {
        MemoryPrediction::of_load(footprint, device, machine).beside(self.held_beside(None))
    }

    /// Counts the caches of a run over model `id` that begins now, until the promise is dropped.
    pub fn promise(&self, id: &ModelId, prediction: &MemoryPrediction) -> Option<Promise> {
        let entry = self.entry(id)?;
        entry.promised.fetch_add(prediction.kv_caches, Ordering::Relaxed);
        Some(Promise { bytes: prediction.kv_caches, promised: Arc::clone(&entry.promised) })
    }

    fn entry(&self, id: &ModelId) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.id == *id)
    }
}
