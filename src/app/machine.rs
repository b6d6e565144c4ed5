//! The machine's own memory, looked at every few seconds by a task of its own.

use crate::hub::Machine;
use crate::protocol::MachineMemory;
use std::time::Duration;
use tokio::sync::watch;

const PAUSE: Duration = Duration::from_secs(2);

/// Watches the machine's memory for as long as the receiver lives; must be called within a tokio runtime.
pub fn watch_memory() -> watch::Receiver<MachineMemory> {
    let (sender, receiver) = watch::channel(MachineMemory::default());
    tokio::task::spawn(async move {
        while !sender.is_closed() {
            sender.send_replace(Machine::memory_now());
            tokio::time::sleep(PAUSE).await;
        }
    });
    receiver
}
