//! The list that a person chooses from: the registry, and what else is in the cache, with what is here and what fits.

use super::{Hub, ModelFiles, check_starter, inspect, registry, starter_path};
use crate::protocol::{
    DeviceKind, Footprint, ListedModel, MEMORY_TOKENS, MachineMemory, ModelSource, OnDisk, RegistryEntry,
};
use std::path::Path;

/// The machine that models are to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where MLX computes.
    pub device: DeviceKind,
    /// Bytes of memory that the device can use.
    pub memory_bytes: u64,
}

impl Machine {
    /// The share of memory that a model may take: the system and other programs need the rest.
    const USABLE: f64 = 0.75;

    /// This machine's main memory, which CPUs and Apple's GPUs use.
    pub fn detect(device: DeviceKind) -> Self {
        Self { device, memory_bytes: Self::memory_now().total }
    }

    /// This machine's main memory, as it is now.
    pub fn memory_now() -> MachineMemory {
        let kind = sysinfo::RefreshKind::nothing().with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram());
        let system = sysinfo::System::new_with_specifics(kind);
        MachineMemory { total: system.total_memory(), available: system.available_memory() }
    }

    /// Bytes that a model takes here with 1 and with 8 sessions of [`MEMORY_TOKENS`] tokens.
    fn memory(&self, footprint: &Footprint) -> [u64; 2] {
        [1, 8].map(|sessions| footprint.bytes(sessions, MEMORY_TOKENS, self.device))
    }

    /// Whether `bytes` of model and sessions leave the rest of the machine enough.
    pub fn fits(&self, bytes: u64) -> bool {
        bytes as f64 <= self.memory_bytes as f64 * Self::USABLE
    }
}

impl Hub {
    /// The registry's models, then other models of the cache, which may or may not be of a supported architecture.
    pub fn models(&self, machine: Machine) -> Vec<ListedModel> {
        let entries = registry();
        let mut others = self.cached_ids();
        others.retain(|id| entries.iter().all(|entry| entry.id != *id));
        let listed = entries.into_iter().map(|entry| self.listed(entry, machine));
        let others = others.into_iter().map(|id| self.cached_model(id, machine));
        // A repository of which nothing is left on disk, as after `discard_partial`, is not offered.
        listed.chain(others.filter(|model| model.on_disk != OnDisk::No)).collect()
    }

    /// A model of the cache, with what its configuration and headers say.
    fn cached_model(&self, id: String, machine: Machine) -> ListedModel {
        let files = self.cached(&id).ok().flatten();
        let card = files.and_then(|files| inspect(&files).ok());
        let memory = card.as_ref().map(|card| machine.memory(&card.footprint));
        ListedModel {
            name: id.clone(),
            on_disk: self.on_disk(&ModelSource::Hub(id.clone())),
            source: ModelSource::Hub(id),
            entry: None,
            parameters: card.map(|card| card.footprint.parameters),
            memory_bytes: memory,
            fits: memory.map(|[one, _]| machine.fits(one)),
        }
    }

    fn listed(&self, entry: RegistryEntry, machine: Machine) -> ListedModel {
        let source = entry.source();
        let memory = machine.memory(&entry.footprint());
        ListedModel {
            name: entry.name.clone(),
            on_disk: self.on_disk(&source),
            fits: Some(machine.fits(memory[0])),
            memory_bytes: Some(memory),
            parameters: Some(entry.parameters),
            source,
            entry: Some(entry),
        }
    }

    /// How much of `source` is on this machine.
    pub fn on_disk(&self, source: &ModelSource) -> OnDisk {
        match source {
            ModelSource::Starter => match starter_path() {
                Ok(path) if check_starter(&path).is_ok() => file_on_disk(&path),
                _ => OnDisk::No,
            },
            ModelSource::Gguf(path) => file_on_disk(path),
            ModelSource::Folder(path) => match ModelFiles::in_folder(path) {
                Ok(ModelFiles::Folder(files)) => {
                    OnDisk::Whole { bytes: files.shards.iter().map(|path| size(path)).sum() }
                }
                _ => OnDisk::No,
            },
            ModelSource::Hub(id) => match (self.cached(id), self.bytes_on_disk(id)) {
                (Ok(Some(_)), Ok((bytes, _))) => OnDisk::Whole { bytes },
                (Ok(None), Ok((whole, coming))) if whole + coming > 0 => OnDisk::Partly { bytes: whole + coming },
                _ => OnDisk::No,
            },
        }
    }
}

fn file_on_disk(path: &Path) -> OnDisk {
    if path.is_file() { OnDisk::Whole { bytes: size(path) } } else { OnDisk::No }
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}
