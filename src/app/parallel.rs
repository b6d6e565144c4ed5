//! A parallel run that is on: its updates on their way to the panels, its report on the way to a file.

use super::feature::Feature;
use super::recent::keep_again;
use super::shell::Shell;
use super::storage::Storage;
use super::work::{Wake, Work};
use crate::protocol::{InvalidConfig, ParallelConfig, RunReport, SessionId, SessionUpdate};
use crate::session::{self, LoadedModel, ParallelRun, StopHandle};
use crate::state::{RunPhase, RunRecord, RunState, Tone};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Updates that can wait for the window.
const WAITING_UPDATES: usize = 4096;

/// The longest that one frame takes in updates.
const BUDGET: Duration = Duration::from_millis(4);

/// How long a closing window waits for a stopped run to be written.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// What a run gave, and how its file went; a session that is run again is not written by itself.
struct Ended {
    /// What it gave.
    report: RunReport,
    /// Its place among the recent runs, or why it could not be written.
    record: Option<Result<RunRecord, String>>,
}

/// A run that is on.
struct LiveRun {
    stops: StopHandle,
    updates: mpsc::Receiver<SessionUpdate>,
    /// When the run's clock was at zero.
    zero: Option<Instant>,
    ended: Work<Ended>,
    model: LoadedModel,
}

impl LiveRun {
    /// Starts a run. Where `storage` is given, its report is written as it ends, whatever the window does meanwhile.
    fn start(
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
    fn stop(&self, id: SessionId) {
        self.stops.stop(id);
    }

    /// Stops all sessions; the run's end is still to come.
    fn stop_all(&self) {
        self.stops.stop_all();
    }

    /// Takes what came since the last frame into `run`, within the frame's budget.
    fn drain(&mut self, run: &mut RunState) {
        let begin = Instant::now();
        while begin.elapsed() < BUDGET {
            let Ok(update) = self.updates.try_recv() else { break };
            self.zero.get_or_insert_with(|| begin.checked_sub(Duration::from_secs_f64(update.at_s)).unwrap_or(begin));
            run.apply(update);
        }
        let running_s = self.zero.map_or(0.0, |zero| zero.elapsed().as_secs_f64());
        run.tick(running_s, Some(self.model.engine().memory().peak));
    }

    /// What the run gave, once, after its last update was taken in.
    fn take_ended(&mut self) -> Option<Result<Ended, String>> {
        if self.updates.is_empty() { self.ended.take() } else { None }
    }

    /// Stops all sessions and waits up to `patience` for the report to be written. For a window that is closed already.
    fn close(mut self, patience: Duration) {
        self.stops.stop_all();
        let begin = Instant::now();
        while begin.elapsed() < patience && self.ended.take().is_none() {
            while self.updates.try_recv().is_ok() {}
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The parallel run.
#[derive(Default)]
pub struct Parallel {
    live: Option<LiveRun>,
}

impl Parallel {
    /// Starts a run with the settings of now, or says why not.
    pub fn start(&mut self, shell: &mut Shell) {
        if self.live.is_some() {
            return;
        }
        let Some(model) = shell.models.current() else { return };
        if let Some(obstacle) = shell.state.run_obstacle() {
            return shell.state.notify(Tone::Problem, obstacle);
        }
        let config = shell.state.settings.run_config(model.summary().source.clone());
        shell.state.race = None;
        self.begin(shell, config);
    }

    /// Starts a run that is kept as it ends.
    pub fn begin(&mut self, shell: &mut Shell, config: ParallelConfig) {
        let (Some(model), None) = (shell.models.current(), &self.live) else { return };
        let storage = Some(shell.world.storage.clone());
        match LiveRun::start(model, config.clone(), storage, shell.pace.wake(), shell.wake.clone()) {
            Ok(run) => {
                self.live = Some(run);
                shell.state.start_run(config, model.summary());
            }
            Err(invalid) => {
                shell.state.break_run(&invalid.to_string());
                shell.state.notify(Tone::Problem, invalid.to_string());
            }
        }
    }

    /// Runs one session of the run on show again.
    pub fn again(&mut self, shell: &mut Shell, id: SessionId) {
        let (Some(model), None) = (shell.models.current(), &self.live) else { return };
        if let Some(obstacle) = shell.state.other_model() {
            return shell.state.notify(Tone::Problem, obstacle);
        }
        let Some(config) = shell.state.run.as_mut().and_then(|run| run.run_again(id)) else { return };
        match LiveRun::start(model, config, None, shell.pace.wake(), shell.wake.clone()) {
            Ok(run) => self.live = Some(run),
            Err(invalid) => shell.state.notify(Tone::Problem, invalid.to_string()),
        }
    }

    /// Stops one session.
    pub fn stop_one(&self, shell: &Shell, id: SessionId) {
        if let Some(live) = &self.live {
            // A session that is run again is number 0 of a run of its own.
            let again = shell.state.run.as_ref().and_then(RunState::running_again);
            live.stop(if again.is_some() { SessionId(0) } else { id });
        }
    }
}

impl Feature for Parallel {
    /// Takes in what the run did.
    fn take_in(&mut self, shell: &mut Shell) {
        let (Some(live), Some(run)) = (&mut self.live, &mut shell.state.run) else { return };
        live.drain(run);
        let Some(outcome) = live.take_ended() else { return };
        self.live = None;
        match outcome {
            Ok(Ended { report, record }) => {
                tracing::info!(sessions = report.sessions.len(), tokens = report.total_tokens, "run ended");
                run.finish(report);
                match record {
                    Some(Ok(record)) => {
                        run.file = Some(record.path.clone());
                        shell.state.remember(record);
                    }
                    Some(Err(message)) => {
                        let text = format!("The run could not be kept: {message}. Export it to save it elsewhere.");
                        shell.state.notify(Tone::Problem, text);
                    }
                    None => keep_again(shell),
                }
            }
            Err(message) => {
                shell.state.break_run(&message);
                shell.state.notify(Tone::Problem, format!("The run ended early: {message}"));
            }
        }
    }

    fn stop(&mut self, shell: &mut Shell) {
        if let Some(live) = &self.live {
            live.stop_all();
        }
        if let Some(run) = shell.state.run.as_mut().filter(|run| run.is_active()) {
            run.phase = RunPhase::Stopping;
        }
    }

    fn close(&mut self, _shell: &mut Shell) {
        if let Some(live) = self.live.take() {
            live.close(CLOSING_PATIENCE);
        }
    }
}
