//! Threads that share one product, ready within a microsecond.
//!
//! A decode step is some hundred products of a fraction of a millisecond each, so helpers wait for the next one awake, and
//! sleep only where none comes for a while. A helper that comes late finds its share done by the others.

use std::cell::{OnceCell, UnsafeCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// More threads than this don't make the largest product faster.
const MOST_THREADS: usize = 16;
/// How long a helper stays awake without work.
const AWAKE: Duration = Duration::from_millis(2);

/// What the threads compute: a part of it by its number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// A thread and its helpers.
struct Team {
    shared: Arc<Shared>,
    helpers: Vec<Thread>,
}

struct Shared {
    /// Valid while `door` is open or helpers are inside.
    task: UnsafeCell<Option<Task>>,
    /// How many helpers are inside, and [`OPEN`] while they may come in.
    door: AtomicUsize,
    /// Parts that nobody has taken yet; below zero once somebody asked in vain.
    untaken: AtomicIsize,
    asleep: Vec<AtomicBool>,
    is_over: AtomicBool,
}

#[derive(Clone, Copy)]
struct Task {
    work: *const Work<'static>,
    parts: usize,
}

const OPEN: usize = 1 << (usize::BITS - 1);

// SAFETY: `task` is written by the team's own thread, only while the door is shut and nobody is inside.
unsafe impl Sync for Shared {}
// SAFETY: the work it points to is Sync.
unsafe impl Send for Shared {}

thread_local! {
    // A C function has nowhere else to keep them.
    static TEAM: OnceCell<Team> = const { OnceCell::new() };
}

/// Below so many multiplications, or what takes as long, another thread is not worth calling.
const WORTH_SHARING: usize = 1 << 17;
/// Threads take so many pieces each, as one of them may be held up.
const PIECES_OF_THREAD: usize = 4;

/// Calls `work` once with each number below `parts`, on several threads where it is `cost` multiplications in all and
/// that is worth it.
pub fn share(parts: usize, cost: usize, work: &(dyn Fn(usize) + Sync)) {
    if cost < WORTH_SHARING || parts < 2 {
        return (0..parts).for_each(work);
    }
    TEAM.with(|team| team.get_or_init(Team::new).share(parts, work));
}

/// [`share`] for parts so small that each thread takes several at once.
pub fn share_pieces(parts: usize, cost: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    if cost < WORTH_SHARING || parts < 2 {
        return work(0..parts);
    }
    TEAM.with(|team| {
        let team = team.get_or_init(Team::new);
        let pieces = parts.min(team.threads() * PIECES_OF_THREAD);
        team.share(pieces, &|piece| work(piece * parts / pieces..(piece + 1) * parts / pieces));
    });
}

/// [`share_pieces`] for rows of numbers that each cost some multiplications.
pub fn share_rows(rows: usize, numbers: usize, work: &(dyn Fn(usize) + Sync)) {
    share_pieces(rows, rows * numbers * COST_OF_NUMBER, &|rows| rows.for_each(work));
}

/// Multiplications that take as long as what is done to a number of a row.
const COST_OF_NUMBER: usize = 8;

impl Team {
    fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let shared = Arc::new(Shared {
            task: UnsafeCell::new(None),
            door: AtomicUsize::new(0),
            untaken: AtomicIsize::new(0),
            asleep: (1..threads).map(|_| AtomicBool::new(false)).collect(),
            is_over: AtomicBool::new(false),
        });
        let spawn = |index: usize| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("products {index}")).spawn(move || shared.help(index))
        };
        // With fewer helpers than wanted, or none, products take longer.
        let helpers = (0..threads - 1).map_while(|index| spawn(index).ok());
        let helpers = helpers.map(|helper| helper.thread().clone()).collect();
        Self { shared, helpers }
    }

    /// How many threads there are, this one included.
    fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `work` once with each number below `parts`, on whichever threads come first; returns when all is done.
    fn share(&self, parts: usize, work: &Work<'_>) {
        let shared = &*self.shared;
        // SAFETY: helpers leave before this returns, so none uses `work` after its lifetime.
        let work: *const Work<'static> = unsafe { std::mem::transmute(std::ptr::from_ref(work)) };
        // SAFETY: the door is shut and nobody is inside.
        unsafe { *shared.task.get() = Some(Task { work, parts }) };
        shared.untaken.store(parts as isize, Ordering::Relaxed);
        shared.door.store(OPEN, Ordering::SeqCst);
        for (helper, asleep) in self.helpers.iter().zip(&shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                helper.unpark();
            }
        }
        // SAFETY: it lives as long as this call.
        unsafe { shared.compute(Task { work, parts }) };
        shared.door.fetch_and(!OPEN, Ordering::AcqRel);
        let mut waited = 0_u32;
        while shared.door.load(Ordering::Acquire) != 0 {
            relax(&mut waited);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.helpers.iter().for_each(Thread::unpark);
    }
}

impl Shared {
    /// A helper's life.
    fn help(&self, index: usize) {
        let (mut waited, mut idle_since) = (0_u32, None);
        while !self.is_over.load(Ordering::SeqCst) {
            let door = self.door.load(Ordering::SeqCst);
            let has_work = door & OPEN != 0 && self.untaken.load(Ordering::Relaxed) > 0;
            if has_work && self.door.compare_exchange(door, door + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // SAFETY: the task was written before the door opened, and it and its work stay until this helper has left.
                unsafe {
                    if let Some(task) = *self.task.get() {
                        self.compute(task);
                    }
                }
                self.door.fetch_sub(1, Ordering::AcqRel);
                (waited, idle_since) = (0, None);
                continue;
            }
            relax(&mut waited);
            if waited.is_multiple_of(1024) && idle_since.get_or_insert_with(Instant::now).elapsed() > AWAKE {
                self.asleep[index].store(true, Ordering::SeqCst);
                // Whoever opens the door after this sees that a helper sleeps.
                if self.door.load(Ordering::SeqCst) & OPEN == 0 && !self.is_over.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep[index].store(false, Ordering::SeqCst);
                idle_since = None;
            }
        }
    }
    /// Takes parts of `task` until none is left.
    ///
    /// # Safety
    /// Its work must be alive.
    unsafe fn compute(&self, task: Task) {
        // SAFETY: as the caller vouches.
        let work = unsafe { &*task.work };
        loop {
            match self.untaken.fetch_sub(1, Ordering::Relaxed) {
                untaken @ 1.. => work(task.parts - untaken as usize),
                _ => return,
            }
        }
    }
}

/// Waits a moment, leaving the processor to others now and then.
fn relax(waited: &mut u32) {
    *waited = waited.wrapping_add(1);
    if waited.is_multiple_of(64) { thread::yield_now() } else { std::hint::spin_loop() }
}
