//! The same sessions together and alone, token by token, logits by logits.

use super::report::{Comparison, VerifyError, VerifyReport};
use super::schedule::{Part, schedule};
use super::trace::Trace;
use crate::protocol::{InvalidConfig, ParallelConfig, SessionId};
use crate::session::job::Job;
use crate::session::source::{Source, check_execution};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs each session of `config` alone, then `rounds` times among the others on a seeded schedule of late joins, early
/// leaves and cancels, and compares. Stop strings are left out of it. `progress` is told how many runs of how many are
/// done. Dropping the future stops it.
pub async fn verify(
    source: impl Into<Arc<dyn Source>>,
    config: &ParallelConfig,
    rounds: u32,
    progress: impl Fn(u32, u32),
) -> Result<VerifyReport, VerifyError> {
    let source = source.into();
    config.validate()?;
    check_execution(source.as_ref(), config.execution)?;
    let jobs = (0..config.sessions).map(|index| job(config, SessionId(index))).collect::<Result<Vec<_>, _>>()?;
    let total = config.sessions + rounds;
    let mut alone = Vec::with_capacity(jobs.len());
    for (done, job) in (0..).zip(&jobs) {
        progress(done, total);
        // What comes next reads its prompts anew: a session alone is not proven by what another one has read, nor a
        // round by what was read alone.
        source.forget_prompts();
        let trace = Trace::of(source.start(job.clone()), None, |_| {}).await;
        alone.push(trace.map_err(|error| VerifyError::Session(job.id, error))?);
    }
    let token_ids = source.capabilities().token_ids;
    let mut comparisons = Vec::new();
    for round in 0..rounds {
        progress(config.sessions + round, total);
        source.forget_prompts();
        let parts = schedule(config.seed, round, config.sessions, config.max_tokens);
        let together = run_together(&source, &jobs, &parts).await?;
        for ((job, part), (together, alone)) in jobs.iter().zip(parts).zip(together.iter().zip(&alone)) {
            comparisons.push(Comparison {
                round,
                id: job.id,
                tokens: together.tokens,
                joined_after: part.joins_after,
                cancelled: part.cancels_after.is_some_and(|after| together.tokens >= after),
                verdict: together.compare(alone, part.ends_early(), token_ids),
            });
        }
    }
    Ok(VerifyReport {
        origin: source.origin().clone(),
        execution: config.execution,
        rounds,
        comparisons,
        config: config.clone(),
    })
}

/// Session `id` of a run, its whole answer and all that can be told of it.
fn job(config: &ParallelConfig, id: SessionId) -> Result<Job, InvalidConfig> {
    Ok(Job { stop: Vec::new(), hashes_logits: true, ..Job::of_run(config, id)? })
}

/// How far a round has come: what late joiners wait for.
#[derive(Clone, Copy, Debug)]
struct RoundProgress {
    tokens: u64,
    running: u32,
}

async fn run_together(source: &Arc<dyn Source>, jobs: &[Job], parts: &[Part]) -> Result<Vec<Trace>, VerifyError> {
    let running = parts.iter().filter(|part| part.joins_after == 0).count() as u32;
    let progress = Arc::new(watch::Sender::new(RoundProgress { tokens: 0, running }));
    let mut sessions = JoinSet::new();
    for (index, (job, part)) in jobs.iter().zip(parts).enumerate() {
        let (progress, part, id) = (Arc::clone(&progress), *part, job.id);
        let starting = source.start(Job { max_tokens: part.max_tokens, ..job.clone() });
        sessions.spawn(async move {
            if part.joins_after > 0 {
                let may_join = |now: &RoundProgress| now.tokens >= part.joins_after || now.running == 0;
                // The sender is this task's own, so that waiting for it can't fail.
                let _ = progress.subscribe().wait_for(may_join).await;
                progress.send_modify(|now| now.running += 1);
            }
            let count = |came| progress.send_modify(|now| now.tokens += came);
            let trace = Trace::of(starting, part.cancels_after, count).await;
            progress.send_modify(|now| now.running -= 1);
            (index, trace.map_err(|error| VerifyError::Session(id, error)))
        });
    }
    let mut traces = vec![Trace::failed("the session failed unexpectedly"); jobs.len()];
    while let Some(ended) = sessions.join_next().await {
        match ended {
            Ok((index, trace)) => traces[index] = trace?,
            Err(error) => tracing::error!(%error, "a verified session's task failed"),
        }
    }
    Ok(traces)
}
