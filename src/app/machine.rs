//! The machine's own memory, looked at every few seconds by a task of its own.

use crate::state::MachineMemory;
use std::time::Duration;
use sysinfo::System;
use tokio::sync::watch;

const PAUSE: Duration = Duration::from_secs(2);

/// Watches the machine's memory for as long as the receiver lives; must be called within a tokio runtime.
pub fn watch_memory() -> watch::Receiver<MachineMemory> {
    let (sender, receiver) = watch::channel(MachineMemory::default());
    tokio::task::spawn(async move {
        let mut system = System::new();
        while !sender.is_closed() {
            system.refresh_memory();
            sender.send_replace(MachineMemory { total: system.total_memory(), available: system.available_memory() });
            tokio::time::sleep(PAUSE).await;
        }
    });
    receiver
}
