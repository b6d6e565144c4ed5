//! The memory of MLX and of the machine, which is looked at every few seconds by a task of its own.

use super::feature::Feature;
use super::shell::Shell;
use crate::hub::Machine;
use crate::protocol::MachineMemory as Memory;
use crate::state::MemoryCard;
use std::time::Duration;
use tokio::sync::watch;

const PAUSE: Duration = Duration::from_secs(2);

/// The memory of MLX and of the machine.
#[derive(Default)]
pub struct MachineMemory {
    watched: Option<watch::Receiver<Memory>>,
}

impl Feature for MachineMemory {
    fn begin(&mut self, _shell: &mut Shell) {
        self.watched = Some(watch_memory());
    }

    fn take_in(&mut self, shell: &mut Shell) {
        let state = &mut shell.state;
        if let Some(watched) = &self.watched {
            state.machine = *watched.borrow();
        }
        state.held = shell.models.held();
        if let Some(model) = shell.models.current() {
            state.memory = MemoryCard {
                figures: model.engine().memory(),
                memory_limit: state.machine.total,
                cache_limit: state.settings.parallel.cache_limit(),
            };
        }
    }
}

/// Watches the machine's memory for as long as the receiver lives; must be called within a tokio runtime.
fn watch_memory() -> watch::Receiver<Memory> {
    let (sender, receiver) = watch::channel(Memory::default());
    tokio::task::spawn(async move {
        while !sender.is_closed() {
            sender.send_replace(Machine::memory_now());
            tokio::time::sleep(PAUSE).await;
        }
    });
    receiver
}
