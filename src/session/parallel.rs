//! The parallel run: N sessions over one source or several, each a task of its own, and the report they make.

use super::clock::Clock;
use super::follow::submit;
use super::job::Job;
use super::live::Live;
use super::record::{End, Record, Subject};
use super::reporter::{Listener, Reporter, SessionReporter, Wake};
use super::source::{Source, check_execution};
use super::stop::{StopFlag, StopHandle};
use crate::protocol::{
    InvalidConfig, ModelSummary, Origin, ParallelConfig, RunReport, SessionError, SessionId, SessionUpdate, UpdateKind,
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A run that is on. Dropping it stops all of its sessions.
#[derive(Debug)]
pub struct ParallelRun(Live<RunReport>);

impl ParallelRun {
    /// Starts the sessions of `config` on one source and returns at once; must be called within a tokio runtime.
    /// `updates` must be read, or its receiver dropped, for the run to end; `wake` is called after each update.
    pub fn start(
        source: impl Into<Arc<dyn Source>>,
        config: ParallelConfig,
        updates: mpsc::Sender<SessionUpdate>,
        wake: Wake,
    ) -> Result<Self, InvalidConfig> {
        Self::start_on(vec![source.into()], config, updates, wake)
    }

    /// [`ParallelRun::start`] on several sources, which take the sessions in turn: with as many sources as sessions, each
    /// has its own.
    pub fn start_on(
        sources: Vec<Arc<dyn Source>>,
        mut config: ParallelConfig,
        updates: mpsc::Sender<SessionUpdate>,
        wake: Wake,
    ) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let Some(first) = sources.first() else { return Err(InvalidConfig("a run needs an engine to run on".into())) };
        if let Some(model) = first.model() {
            config.model = model.source.clone();
        }
        sources.iter().try_for_each(|source| check_execution(source.as_ref(), config.execution))?;
        let (stops, flags) = StopHandle::new(config.sessions);
        let jobs = (0..config.sessions).map(|index| Job::of_run(&config, SessionId(index)));
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        let places = sources.iter().cycle().map(Arc::clone);
        let sessions = jobs
            .into_iter()
            .zip(places)
            .zip(flags)
            .map(|((job, source), stop)| Session { job, source, stop })
            .collect();
        let task = tokio::spawn(run(config, sessions, Reporter::new(updates, wake)));
        Ok(Self(Live::new(stops, task)))
    }

    /// Stops sessions, also from elsewhere and while [`ParallelRun::finish`] is awaited.
    pub fn stop_handle(&self) -> StopHandle {
        self.0.stop_handle()
    }

    /// Waits until every session has ended, stopped ones included, and adds them up.
    pub async fn finish(self) -> RunReport {
        self.0.finish().await
    }
}

/// A session before it runs.
struct Session {
    job: Job,
    source: Arc<dyn Source>,
    stop: StopFlag,
}

async fn run(config: ParallelConfig, sessions: Vec<Session>, reporter: Reporter) -> RunReport {
    let sources = each_once(&sessions);
    for source in &sources {
        source.reset_peak_memory().await;
    }
    let starting: Vec<_> = sessions
        .into_iter()
        .map(|Session { job, source, stop }| {
            let subject = Subject::new(job.id, source.origin(), config.prompt(job.id.0), &job.sampling);
            (subject, source.start(job), stop)
        })
        .collect();
    let mut tasks = Vec::with_capacity(starting.len());
    for (subject, starting, stop) in starting {
        let mut listener = SessionReporter { id: subject.id, reporter: reporter.clone() };
        // Submitted in order of their numbers, so that they wait in that order too.
        let submitted = submit(starting, &reporter.clock, &mut listener, stop).await;
        let own = subject.clone();
        let task = tokio::spawn(async move {
            let (record, end) = submitted.follow(&mut listener).await;
            let at = end.at;
            let result = record.into_result(own, end, &listener.reporter.clock);
            listener.hear(at, UpdateKind::Ended(Box::new(result.clone()))).await;
            result
        });
        tasks.push((subject, task));
    }
    let mut results = Vec::with_capacity(tasks.len());
    for (subject, task) in tasks {
        results.push(task.await.unwrap_or_else(|error| {
            // The session's task itself broke.
            let error = SessionError(format!("the session failed unexpectedly: {error}"));
            Record::default().into_result(subject, End::failed(error), &Clock::default())
        }));
    }
    let peak = sources.iter().filter_map(|source| source.memory()).map(|memory| memory.peak).max();
    let models: Vec<(Origin, Option<ModelSummary>)> =
        sources.iter().map(|source| (source.origin().clone(), source.model().cloned())).collect();
    RunReport::new(&models, config, results, peak)
}

/// The sources of `sessions`, in the order in which they come first.
fn each_once(sessions: &[Session]) -> Vec<Arc<dyn Source>> {
    let mut sources: Vec<Arc<dyn Source>> = Vec::new();
    for session in sessions {
        let source = &session.source;
        let is_same = |known: &Arc<dyn Source>| known.origin() == source.origin() && known.model() == source.model();
        if !sources.iter().any(is_same) {
            sources.push(Arc::clone(source));
        }
    }
    sources
}
