//! The parallel run: N sessions over one loaded model, each a task of its own, and the report they make.

use super::clock::Clock;
use super::follow::submit;
use super::prepare::{Input, Job, tokenize};
use super::record::{End, Record};
use super::reporter::{Reporter, Wake};
use super::stop::StopFlag;
use super::{LoadedModel, StopHandle};
use crate::protocol::{
    EvaluationResult, Execution, InvalidConfig, ParallelConfig, RunReport, SessionError, SessionId, SessionUpdate,
};
use crate::text::Chat;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

/// A run that is on. Dropping it stops all of its sessions.
#[derive(Debug)]
pub struct ParallelRun {
    stops: StopHandle,
    task: JoinHandle<RunReport>,
}

impl ParallelRun {
    /// Starts the sessions of `config` and returns at once; must be called within a tokio runtime. `updates` must be
    /// read, or its receiver dropped, for the run to end; `wake` is called after each update.
    pub fn start(
        model: &LoadedModel,
        mut config: ParallelConfig,
        updates: mpsc::Sender<SessionUpdate>,
        wake: Wake,
    ) -> Result<Self, InvalidConfig> {
        config.validate()?;
        check_execution(model, &config)?;
        config.model = model.summary().source.clone();
        let jobs = (0..config.sessions).map(|index| job(&config, SessionId(index))).collect::<Result<Vec<_>, _>>()?;
        let (stops, flags) = StopHandle::new(config.sessions);
        let jobs = jobs.into_iter().zip(flags).collect();
        let task = tokio::spawn(run(model.clone(), config, jobs, Reporter::new(updates, wake)));
        Ok(Self { stops, task })
    }

    /// Stops sessions, also from elsewhere and while [`ParallelRun::finish`] is awaited.
    pub fn stop_handle(&self) -> StopHandle {
        self.stops.clone()
    }

    /// Waits until every session has ended, stopped ones included, and adds them up.
    pub async fn finish(mut self) -> RunReport {
        match (&mut self.task).await {
            Ok(report) => report,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; nobody is there to read a report.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for ParallelRun {
    fn drop(&mut self) {
        self.stops.stop_all();
    }
}

/// Refuses an execution that the model can't run in.
pub(super) fn check_execution(model: &LoadedModel, config: &ParallelConfig) -> Result<(), InvalidConfig> {
    match &model.summary().facts.exact_width {
        Err(reason) if config.execution == Execution::Exact => {
            Err(InvalidConfig(format!("this model can't run in exact execution: {reason}")))
        }
        _ => Ok(()),
    }
}

/// Session `id` of a run.
pub(super) fn job(config: &ParallelConfig, id: SessionId) -> Result<Job, InvalidConfig> {
    let prompt = config.prompt(id.0).to_owned();
    let input = if config.raw {
        Input::Raw(prompt.clone())
    } else {
        Input::Chat(Chat { thinking: Some(config.thinking), ..Chat::question(config.system.as_deref(), &prompt) })
    };
    Ok(Job {
        id,
        prompt,
        input,
        sampling: config.sampling(id.0).map_err(|invalid| InvalidConfig(invalid.to_string()))?,
        max_tokens: config.max_tokens,
        stop: config.stop.clone(),
        execution: config.execution,
    })
}

async fn run(model: LoadedModel, config: ParallelConfig, jobs: Vec<(Job, StopFlag)>, reporter: Reporter) -> RunReport {
    // A dead engine shows in every session's own error.
    let _ = model.engine().reset_peak_memory().await;
    let tokenizing: Vec<_> = jobs.iter().map(|(job, _)| tokenize(model.text_shared(), job.input.clone())).collect();
    let mut sessions = Vec::with_capacity(jobs.len());
    for ((job, flag), prompt) in jobs.into_iter().zip(tokenizing) {
        let prompt = prompt.await.unwrap_or_else(|error| Err(unexpected(&error)));
        // Submitted in order of their numbers, so that they wait in that order too.
        let submitted = submit(&model, job.clone(), prompt, &reporter, flag).await;
        sessions.push((job, tokio::spawn(submitted.follow(reporter.clone()))));
    }
    let mut results = Vec::with_capacity(sessions.len());
    for (job, session) in sessions {
        results.push(session.await.unwrap_or_else(|error| failed(&job, &error)));
    }
    RunReport::new(model.summary(), config, results, model.engine().memory().peak)
}

fn unexpected(error: &JoinError) -> SessionError {
    SessionError(format!("the session failed unexpectedly: {error}"))
}

/// The result of a session whose task itself broke.
fn failed(job: &Job, error: &JoinError) -> EvaluationResult {
    Record::default().into_result(job, End::failed(unexpected(error)), &Clock::default())
}
