//! How often the window is drawn while sessions run: often enough to be smooth, seldom enough to leave the machine to
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// At most 30 repaints a second while text streams.
const SHORTEST: Duration = Duration::from_millis(33);

/// Where the processor itself draws, each frame takes tens of milliseconds on threads that no clock of ours sees.
const SHORTEST_BY_SOFTWARE: Duration = Duration::from_millis(500);

/// At least one repaint in this time while something is going on.
const LONGEST: Duration = Duration::from_millis(600);

/// The share of the machine's time that drawing may take while sessions run.
const SHARE: f64 = 0.03;

/// How often the window is drawn; clones share it with the threads that wake the window.
#[derive(Clone)]
pub struct Pace {
    context: egui::Context,
    shortest: Duration,
    interval_us: Arc<AtomicU64>,
    is_woken: Arc<AtomicBool>,
}

impl Pace {
    /// The pace of the window behind `context`, which the processor itself draws where `is_software`.
    pub fn new(context: egui::Context, is_software: bool) -> Self {
        let shortest = if is_software { SHORTEST_BY_SOFTWARE } else { SHORTEST };
        let interval_us = Arc::new(AtomicU64::new(shortest.as_micros() as u64));
        Self { context, shortest, interval_us, is_woken: Arc::default() }
    }

    /// The closure that sessions call after each update; many calls make one repaint.
    pub fn wake(&self) -> crate::session::Wake {
        let pace = self.clone();
        Arc::new(move || {
            if !pace.is_woken.swap(true, Ordering::AcqRel) {
                pace.context.request_repaint_after(pace.interval());
            }
        })
    }

    /// Notes that updates have been read, so that the next one wakes the window again.
    pub fn drained(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    /// Asks for the next repaint of clocks and spinners, while something is going on.
    pub fn go_on(&self) {
        self.context.request_repaint_after(self.interval().max(Duration::from_millis(100)));
    }

    /// Notes how much of the machine's time the last frame took.
    pub fn spent(&self, seconds: f64) {
        let wanted =
            Duration::from_secs_f64((seconds / SHARE).clamp(self.shortest.as_secs_f64(), LONGEST.as_secs_f64()));
        // Half the way, so that one slow frame does not stall the window.
        let smoothed = (self.interval() + wanted) / 2;
        self.interval_us.store(smoothed.as_micros() as u64, Ordering::Relaxed);
    }

    fn interval(&self) -> Duration {
        Duration::from_micros(self.interval_us.load(Ordering::Relaxed))
    }
}
