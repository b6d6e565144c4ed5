//! A parallel run that is on: its updates on their way to the panels, its report on the way to a file.

use super::storage::Storage;
use super::work::{Wake, Work};
use crate::protocol::{InvalidConfig, ParallelConfig, RunReport, SessionId, SessionUpdate};
use crate::session::{self, LoadedModel, ParallelRun, StopHandle};
use crate::state::{RunRecord, RunState};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Updates that can wait for the window.
const WAITING_UPDATES: usize = 4096;

/// The longest that one frame takes in updates.
const BUDGET: Duration = Duration::from_millis(4);

/// What a run gave, and how its file went; a session that is run again is not written by itself.
pub struct Ended {
    /// What it gave.
    pub report: RunReport,
    /// Its place among the recent runs, or why it could not be written.
    pub record: Option<Result<RunRecord, String>>,
}

/// A run that is on.
pub struct LiveRun {
    stops: StopHandle,
    updates: mpsc::Receiver<SessionUpdate>,
    /// When the run's clock was at zero.
    zero: Option<Instant>,
    ended: Work<Ended>,
    model: LoadedModel,
}

impl LiveRun {
    /// Starts a run. Where `storage` is given, its report is written as it ends, whatever the window does meanwhile.
    pub fn start(
        model: &LoadedModel,
        config: ParallelConfig,
        storage: Option<Storage>,
        updates_wake: session::Wake,
        end_wake: Wake,
    ) -> Result<Self, InvalidConfig> {
        let (sender, updates) = mpsc::channel(WAITING_UPDATES);
        let run = ParallelRun::start(model, config, sender, updates_wake)?;
        let stops = run.stop_handle();
        let ended = Work::start(end_wake, async move {
            let report = run.finish().await;
            let record = match storage {
                Some(storage) => {
                    let written = report.clone();
                    let writing = tokio::task::spawn_blocking(move || storage.write_run(&written));
                    Some(
                        writing
                            .await
                            .map_err(|error| error.to_string())
                            .and_then(|written| written.map_err(|error| error.to_string())),
                    )
                }
                None => None,
            };
            Ok(Ended { report, record })
        });
        Ok(Self { stops, updates, zero: None, ended, model: model.clone() })
    }

    /// Stops one session.
    pub fn stop(&self, id: SessionId) {
        self.stops.stop(id);
    }

    /// Stops all sessions; the run's end is still to come.
    pub fn stop_all(&self) {
        self.stops.stop_all();
    }

    /// Takes what came since the last frame into `run`, within the frame's budget.
    pub fn drain(&mut self, run: &mut RunState) {
        let begin = Instant::now();
        while begin.elapsed() < BUDGET {
            let Ok(update) = self.updates.try_recv() else { break };
            self.zero.get_or_insert_with(|| begin.checked_sub(Duration::from_secs_f64(update.at_s)).unwrap_or(begin));
            run.apply(update);
        }
        let running_s = self.zero.map_or(0.0, |zero| zero.elapsed().as_secs_f64());
        run.tick(running_s, self.model.engine().memory().peak);
    }

    /// What the run gave, once, after its last update was taken in.
    pub fn take_ended(&mut self) -> Option<Result<Ended, String>> {
        if self.updates.is_empty() { self.ended.take() } else { None }
    }

    /// Stops all sessions and waits up to `patience` for the report to be written. For a window that is closed already.
    pub fn close(mut self, patience: Duration) {
        self.stops.stop_all();
        let begin = Instant::now();
        while begin.elapsed() < patience && self.ended.take().is_none() {
            while self.updates.try_recv().is_ok() {}
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
