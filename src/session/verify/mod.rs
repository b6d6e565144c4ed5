//! Proof that sessions are isolated: the same sessions together and alone, token by token, logits by logits.

mod replay;
mod schedule;

pub use replay::{replay, replayable};
pub use schedule::{Part, schedule};

use super::LoadedModel;
use super::parallel::job;
use super::prepare::tokenize;
use crate::engine::SubmitError;
use crate::protocol::{
    EngineEvent, Execution, FinishReason, InvalidConfig, ParallelConfig, SessionError, SessionId, SessionRequest,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::watch;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// The model's name.
    pub model: String,
    /// How the sessions ran.
    pub execution: Execution,
    /// Rounds that were run.
    pub rounds: u32,
    /// One a session and round.
    pub comparisons: Vec<Comparison>,
    /// The settings.
    pub config: ParallelConfig,
}

impl VerifyReport {
    /// Whether no session differed or failed.
    pub fn is_equal(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.verdict == Verdict::Equal)
    }
}

/// One session among others, compared with itself alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Counted from 0.
    pub round: u32,
    /// Which session.
    pub id: SessionId,
    /// Tokens that it gave among others.
    pub tokens: u32,
    /// Tokens of the whole run that came before it joined.
    pub joined_after: u64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
    /// What the comparison found.
    pub verdict: Verdict,
}

/// What comparing a session with itself alone found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every token and every step's logits are the same, bit for bit.
    Equal,
    /// The tokens differ from this position of the answer on, counted from 0.
    TokensDiffer(u32),
    /// The tokens are the same; the logits differ from this position on.
    LogitsDiffer(u32),
    /// It failed among others or alone.
    Failed(String),
}

/// A session's tokens and the hashes of the logits they were chosen from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trace {
    tokens: Vec<u32>,
    hashes: Vec<Option<u64>>,
    error: Option<String>,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A setting is outside of its range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A prompt can't be tokenized.
    #[error("session {0}: {1}")]
    Prompt(SessionId, SessionError),
    /// A session can't be run alone.
    #[error("session {0}: {1}")]
    Replay(SessionId, String),
    /// The engine takes no session.
    #[error(transparent)]
    Engine(#[from] SubmitError),
}

/// Runs each session of `config` alone, then `rounds` times among the others on a seeded schedule of late joins, early
/// leaves and cancels, and compares. `progress` is told how many runs of how many are done. Dropping the future stops it.
pub async fn verify(
    model: &LoadedModel,
    config: &ParallelConfig,
    rounds: u32,
    progress: impl Fn(u32, u32),
) -> Result<VerifyReport, VerifyError> {
    let requests = requests(model, config).await?;
    let total = config.sessions + rounds;
    let mut alone = Vec::with_capacity(requests.len());
    for (done, request) in (0..).zip(&requests) {
        progress(done, total);
        forget_prompts(model)?;
        alone.push(run_part(model, request.clone(), config.execution, None, |_| {}).await?);
    }
    let mut comparisons = Vec::new();
    for round in 0..rounds {
        progress(config.sessions + round, total);
        let parts = schedule(config.seed, round, config.sessions, config.max_tokens);
        forget_prompts(model)?;
        let together = run_together(model, &requests, &parts, config.execution).await?;
        for ((request, part), (together, alone)) in requests.iter().zip(parts).zip(together.iter().zip(&alone)) {
            comparisons.push(Comparison {
                round,
                id: request.id,
                tokens: together.tokens.len() as u32,
                joined_after: part.joins_after,
                cancelled: part.cancels_after.is_some_and(|after| together.tokens.len() as u32 >= after),
                verdict: compare(together, alone, part.ends_early()),
            });
        }
    }
    Ok(VerifyReport {
        model: model.summary().name.clone(),
        execution: config.execution,
        rounds,
        comparisons,
        config: config.clone(),
    })
}

/// What comes next reads its prompts anew: a session alone is not proven by what another one has read, nor a round by what
/// was read alone.
fn forget_prompts(model: &LoadedModel) -> Result<(), SubmitError> {
    Ok(model.engine().forget_prompts()?)
}

async fn requests(model: &LoadedModel, config: &ParallelConfig) -> Result<Vec<SessionRequest>, VerifyError> {
    config.validate()?;
    let mut requests = Vec::with_capacity(config.sessions as usize);
    for index in 0..config.sessions {
        requests.push(request(model, config, SessionId(index)).await?);
    }
    Ok(requests)
}

async fn request(model: &LoadedModel, config: &ParallelConfig, id: SessionId) -> Result<SessionRequest, VerifyError> {
    super::parallel::check_execution(model, config)?;
    let job = job(config, id)?;
    let prompt = tokenize(model.text_shared(), job.input).await;
    let prompt = prompt.unwrap_or_else(|error| Err(SessionError(format!("tokenizing failed: {error}"))));
    Ok(SessionRequest {
        id,
        prompt: prompt.map_err(|error| VerifyError::Prompt(id, error))?,
        sampling: job.sampling,
        max_tokens: job.max_tokens,
        end_of_sequence: model.text().end_of_sequence(),
        hash_logits: true,
    })
}

/// How far a round has come: what late joiners wait for.
#[derive(Clone, Copy, Debug)]
struct RoundProgress {
    tokens: u64,
    running: u32,
}

async fn run_together(
    model: &LoadedModel,
    requests: &[SessionRequest],
    parts: &[Part],
    execution: Execution,
) -> Result<Vec<Trace>, SubmitError> {
    let running = parts.iter().filter(|part| part.joins_after == 0).count() as u32;
    let progress = Arc::new(watch::Sender::new(RoundProgress { tokens: 0, running }));
    let mut sessions = tokio::task::JoinSet::new();
    for (index, (request, part)) in requests.iter().zip(parts).enumerate() {
        let (model, progress, part) = (model.clone(), Arc::clone(&progress), *part);
        let request = SessionRequest { max_tokens: part.max_tokens, ..request.clone() };
        sessions.spawn(async move {
            if part.joins_after > 0 {
                let may_join = |now: &RoundProgress| now.tokens >= part.joins_after || now.running == 0;
                // The sender is this task's own, so that waiting for it can't fail.
                let _ = progress.subscribe().wait_for(may_join).await;
                progress.send_modify(|now| now.running += 1);
            }
            let count = |came| progress.send_modify(|now| now.tokens += came);
            let trace = run_part(&model, request, execution, part.cancels_after, count).await;
            progress.send_modify(|now| now.running -= 1);
            (index, trace)
        });
    }
    let mut traces = vec![Trace::default(); requests.len()];
    while let Some(ended) = sessions.join_next().await {
        match ended {
            Ok((index, trace)) => traces[index] = trace?,
            Err(error) => tracing::error!(%error, "a verified session's task failed"),
        }
    }
    Ok(traces)
}

/// Runs one session to its end, or until it has given `cancels_after` tokens.
async fn run_part(
    model: &LoadedModel,
    request: SessionRequest,
    execution: Execution,
    cancels_after: Option<u32>,
    count: impl Fn(u64),
) -> Result<Trace, SubmitError> {
    let mut stream = model.engine().submit(request, execution)?;
    let mut trace = Trace::default();
    while let Some(event) = stream.next().await {
        match event {
            EngineEvent::Token { id, logits_hash, .. } => {
                trace.tokens.push(id);
                trace.hashes.push(logits_hash);
                count(1);
                if cancels_after == Some(trace.tokens.len() as u32) {
                    break;
                }
            }
            EngineEvent::Ended { reason: FinishReason::Error, error, .. } => {
                trace.error = Some(error.map_or_else(|| "no reason given".to_owned(), |error| error.0));
            }
            EngineEvent::Ended { .. } | EngineEvent::PrefillStarted { .. } | EngineEvent::Prefilled { .. } => {}
        }
    }
    Ok(trace)
}

fn compare(together: &Trace, alone: &Trace, ends_early: bool) -> Verdict {
    if let Some(error) = together.error.as_ref().or(alone.error.as_ref()) {
        return Verdict::Failed(error.clone());
    }
    if let Some(position) = first_difference_of(&together.tokens, &alone.tokens, ends_early) {
        return Verdict::TokensDiffer(position);
    }
    match together.hashes.iter().zip(&alone.hashes).position(|(one, other)| one != other) {
        Some(position) => Verdict::LogitsDiffer(position as u32),
        None => Verdict::Equal,
    }
}

/// The first position at which the answers differ. An answer that ended early may be shorter than the other.
fn first_difference_of(together: &[u32], alone: &[u32], ends_early: bool) -> Option<u32> {
    let differing = together.iter().zip(alone).position(|(one, other)| one != other);
    let shared = together.len().min(alone.len());
    let lengths_differ = together.len() > alone.len() || (together.len() < alone.len() && !ends_early);
    differing.or(lengths_differ.then_some(shared)).map(|position| position as u32)
}
