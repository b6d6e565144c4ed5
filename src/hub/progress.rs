//! How a download comes on: bytes, files, speed.

use crate::protocol::LoadProgress;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Speed is that of this long.
const WINDOW: Duration = Duration::from_secs(5);
/// People and windows need no more reports than that.
const INTERVAL: Duration = Duration::from_millis(100);

/// Counts a download's bytes and reports them now and then.
pub(super) struct Meter<'a> {
    report: &'a (dyn Fn(LoadProgress) + Send + Sync),
    total_bytes: u64,
    total_files: usize,
    done_bytes: u64,
    done_files: usize,
    /// Bytes that came over the network, by time, within the window.
    received: VecDeque<(Instant, u64)>,
    reported: Option<Instant>,
    file: String,
    file_done: u64,
    file_total: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(report: &'a (dyn Fn(LoadProgress) + Send + Sync), total_bytes: u64, total_files: usize) -> Self {
        Self {
            report,
            total_bytes,
            total_files,
            done_bytes: 0,
            done_files: 0,
            received: VecDeque::new(),
            reported: None,
            file: String::new(),
            file_done: 0,
            file_total: 0,
        }
    }

    /// Begins a file of which `done` bytes are here.
    pub(super) fn begin(&mut self, file: &str, done: u64, total: u64) {
        (self.file, self.file_done, self.file_total) = (file.to_owned(), done, total);
        self.done_bytes += done;
        self.tell();
    }

    /// More bytes of the file came.
    pub(super) fn receive(&mut self, bytes: u64) {
        self.file_done += bytes;
        self.done_bytes += bytes;
        let now = Instant::now();
        self.received.push_back((now, bytes));
        while self.received.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.received.pop_front();
        }
        if self.reported.is_none_or(|at| now.duration_since(at) >= INTERVAL) {
            self.tell();
        }
    }

    /// The file's bytes were worth nothing: it begins anew.
    pub(super) fn restart(&mut self) {
        self.done_bytes -= self.file_done;
        self.file_done = 0;
        self.tell();
    }

    /// The file is whole.
    pub(super) fn finish(&mut self) {
        self.done_files += 1;
        self.tell();
    }

    fn tell(&mut self) {
        self.reported = Some(Instant::now());
        (self.report)(LoadProgress::Downloading {
            file: self.file.clone(),
            file_done_bytes: self.file_done,
            file_total_bytes: self.file_total,
            done_bytes: self.done_bytes,
            total_bytes: Some(self.total_bytes),
            done_files: self.done_files,
            total_files: self.total_files,
            bytes_per_second: self.bytes_per_second(),
        });
    }

    fn bytes_per_second(&self) -> Option<f64> {
        let (first, _) = self.received.front()?;
        let seconds = first.elapsed().as_secs_f64();
        let bytes: u64 = self.received.iter().map(|(_, bytes)| bytes).sum();
        (seconds >= 0.2).then(|| bytes as f64 / seconds)
    }
}
