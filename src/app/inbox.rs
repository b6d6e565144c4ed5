//! Files on their way to the window: dropped on it, opened from the Finder, or named by another start.

use super::work::Wake;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that wait for the window to look at them; clones share them. Can be filled before there is a window.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    files: Vec<PathBuf>,
    wants_front: bool,
    wake: Option<Wake>,
}

impl Inbox {
    /// Adds files that a person opened from outside: the window comes to the front, also for none.
    pub fn open(&self, files: impl IntoIterator<Item = PathBuf>) {
        let wake = {
            let mut waiting = self.waiting();
            waiting.files.extend(files);
            waiting.wants_front = true;
            waiting.wake.clone()
        };
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Adds files that came by the window itself.
    pub(super) fn add(&self, files: impl IntoIterator<Item = PathBuf>) {
        self.waiting().files.extend(files);
    }

    /// Calls `wake` from now on when files are opened.
    pub(super) fn wake_with(&self, wake: Wake) {
        self.waiting().wake = Some(wake);
    }

    /// Whether the window is to come to the front, once.
    pub(super) fn take_wants_front(&self) -> bool {
        mem::take(&mut self.waiting().wants_front)
    }

    /// All files that wait.
    pub(super) fn take_files(&self) -> Vec<PathBuf> {
        mem::take(&mut self.waiting().files)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
