//! Ctrl-C: the first one stops the run and lets it report, the second one ends the process at once.

use super::exit::INTERRUPTED;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes Ctrl-C over, from now on, from the system's default, which would lose what came so far.
    pub fn listen() -> io::Result<Self> {
        let mut signals = signal(SignalKind::interrupt())?;
        let (pressed, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signals.recv().await;
            pressed.send_replace(true);
            signals.recv().await;
            // Exit handlers would take MLX down while its threads still compute.
            signal_hook::low_level::exit(INTERRUPTED.into());
        });
        Ok(Self(receiver))
    }

    /// Returns once Ctrl-C is pressed.
    pub async fn pressed(&mut self) {
        if self.0.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether Ctrl-C was pressed.
    pub fn was_pressed(&self) -> bool {
        *self.0.borrow()
    }
}
