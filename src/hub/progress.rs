//! How far a download has come: bytes, files, speed.

use crate::protocol::{FileProgress, LoadProgress};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Speed is measured over this long before now.
const WINDOW: Duration = Duration::from_secs(5);
/// The shortest time between two reports.
const INTERVAL: Duration = Duration::from_millis(100);

/// Counts the bytes of all files that are downloaded at the same time, and reports them.
pub(super) struct Meter<'a> {
    report: &'a (dyn Fn(LoadProgress) + Send + Sync),
    total_bytes: u64,
    total_files: usize,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    done_bytes: u64,
    done_files: usize,
    /// Bytes that came over the network within the last [`WINDOW`], and when.
    received: VecDeque<(Instant, u64)>,
    reported: Option<Instant>,
    files: Vec<FileProgress>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(report: &'a (dyn Fn(LoadProgress) + Send + Sync), total_bytes: u64, total_files: usize) -> Self {
        Self { report, total_bytes, total_files, count: Mutex::default() }
    }

    /// Begins a file of which `done` bytes are here.
    pub(super) fn begin(&self, file: &str, done: u64, total: u64) {
        let mut count = self.count();
        count.files.push(FileProgress { name: file.to_owned(), done_bytes: done, total_bytes: total });
        count.done_bytes += done;
        self.tell(&mut count);
    }

    /// More bytes of the file came.
    pub(super) fn receive(&self, file: &str, bytes: u64) {
        let mut count = self.count();
        let now = Instant::now();
        if let Some(file) = count.file(file) {
            file.done_bytes += bytes;
        }
        count.done_bytes += bytes;
        count.received.push_back((now, bytes));
        while count.received.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            count.received.pop_front();
        }
        if count.reported.is_none_or(|at| now.duration_since(at) >= INTERVAL) {
            self.tell(&mut count);
        }
    }

    /// The file's bytes were wrong: it is downloaded again from its start.
    pub(super) fn restart(&self, file: &str) {
        let mut count = self.count();
        let lost = count.file(file).map_or(0, |file| std::mem::take(&mut file.done_bytes));
        count.done_bytes -= lost;
        self.tell(&mut count);
    }

    /// The file is whole.
    pub(super) fn finish(&self, file: &str) {
        let mut count = self.count();
        count.files.retain(|running| running.name != file);
        count.done_files += 1;
        self.tell(&mut count);
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, count: &mut Count) {
        count.reported = Some(Instant::now());
        (self.report)(LoadProgress::Downloading {
            files: count.files.clone(),
            done_bytes: count.done_bytes,
            total_bytes: Some(self.total_bytes),
            done_files: count.done_files,
            total_files: self.total_files,
            bytes_per_second: count.bytes_per_second(),
        });
    }
}

impl Count {
    fn file(&mut self, name: &str) -> Option<&mut FileProgress> {
        self.files.iter_mut().find(|file| file.name == name)
    }

    fn bytes_per_second(&self) -> Option<f64> {
        let (first, _) = self.received.front()?;
        let seconds = first.elapsed().as_secs_f64();
        let bytes: u64 = self.received.iter().map(|(_, bytes)| bytes).sum();
        (seconds >= 0.2).then(|| bytes as f64 / seconds)
    }
}
