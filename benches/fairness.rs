//! What sessions cost each other: `cargo bench --bench fairness`, or a part of it with `-- joins` or `-- shares`.
//!
//! A long prompt joins running streams under several stall budgets: how long did a stream pause, and when did the
//! joiner's first token come? And sixteen sessions begin with one prompt: how much later than one do they have their
//! first tokens? Times are the engine's own, taken as it hands a token out.

use llmeval::engine::{EngineSettings, EventStream};
use llmeval::load_model;
use llmeval::protocol::{EngineEvent, Execution, ModelSource, Sampling, SessionId, SessionRequest};
use llmeval::session::LoadedModel;
use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Turns of the shared prompt; its figures are medians.
const TURNS: u64 = 3;
const STREAMS: u32 = 8;
const LONG_PROMPT: usize = 4000;
/// How the sessions run, and the stall budget in ms.
const JOINS: [(Execution, u64); 4] =
    [(Execution::Batched, 200), (Execution::Exact, 200), (Execution::Batched, 400), (Execution::Batched, 100)];
/// Tokens that each stream gives before the long prompt joins.
const HEAD_START: usize = 6;
const SHARED_PROMPT: usize = 512;
const SHARERS: u32 = 16;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let model = load_model(ModelSource::Starter, EngineSettings::default(), |_| {}).await?;
    let cores = std::thread::available_parallelism()?;
    let summary = model.summary();
    writeln!(stdout(), "{} on {cores} cores\n", summary.name)?;
    let part = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    let is_asked = |name| part.as_deref().is_none_or(|part| part == name);
    if is_asked("joins") {
        joins(&model).await?;
    }
    if is_asked("shares") {
        shares(&model).await?;
    }
    model.engine().shutdown().await;
    Ok(())
}

async fn joins(model: &LoadedModel) -> Outcome<()> {
    writeln!(
        stdout(),
        "A prompt of {LONG_PROMPT} tokens joins {STREAMS} running streams:\n\n\
         | execution | stall budget | step before, median | longest gap of a stream | over budget + step | joiner's first token |\n\
         |---|--:|--:|--:|--:|--:|"
    )?;
    for (execution, budget_ms) in JOINS {
        let settings = EngineSettings { max_stall: Duration::from_millis(budget_ms), ..EngineSettings::default() };
        model.engine().configure(settings)?;
        let Join { step, longest, first_token } = join(model, execution).await?;
        let over = longest.saturating_sub(Duration::from_millis(budget_ms) + step);
        writeln!(
            stdout(),
            "| {execution} | {budget_ms} ms | {} ms | {} ms | {} ms | {:.1} s |",
            step.as_millis(),
            longest.as_millis(),
            over.as_millis(),
            first_token.as_secs_f64()
        )?;
    }
    model.engine().configure(EngineSettings::default())?;
    Ok(())
}

/// What one long prompt did to the streams.
struct Join {
    /// The median gap between two tokens of a stream before it came.
    step: Duration,
    /// The longest gap while it was read.
    longest: Duration,
    /// From its submit to its first token.
    first_token: Duration,
}

async fn join(model: &LoadedModel, execution: Execution) -> Outcome<Join> {
    model.engine().forget_prompts()?;
    let (sender, mut tokens) = mpsc::unbounded_channel();
    let mut streams = Vec::new();
    for id in 0..STREAMS {
        let stream = model.engine().submit(request(model, id, 32, 4000, 0)?, execution)?;
        let sender = sender.clone();
        streams.push(tokio::spawn(async move {
            follow(stream, |at| {
                let _ = sender.send((id as usize, at));
            })
            .await;
        }));
    }
    let mut times: Vec<Vec<Instant>> = vec![Vec::new(); STREAMS as usize];
    while times.iter().any(|times| times.len() < HEAD_START) {
        let (id, at) = tokens.recv().await.ok_or("the streams ended")?;
        times[id].push(at);
    }
    let submitted = Instant::now();
    let joiner = model.engine().submit(request(model, STREAMS, LONG_PROMPT, 2, 0)?, execution)?;
    let mut first = None;
    follow(joiner, |at| {
        first.get_or_insert(at);
    })
    .await;
    let first = first.ok_or("the joiner gave no token")?;
    streams.iter().for_each(|stream| stream.abort());
    while let Ok((id, at)) = tokens.try_recv() {
        times[id].push(at);
    }
    let gaps = |is_counted: &dyn Fn(Instant, Instant) -> bool| -> Vec<Duration> {
        let pairs = times.iter().flat_map(|times| times.windows(2)).map(|pair| (pair[0], pair[1]));
        pairs.filter(|(from, to)| is_counted(*from, *to)).map(|(from, to)| to - from).collect()
    };
    let step = median(gaps(&|_, to| to < submitted));
    let longest = gaps(&|from, to| to > submitted && from < first).into_iter().max().unwrap_or_default();
    Ok(Join { step, longest, first_token: first - submitted })
}

async fn shares(model: &LoadedModel) -> Outcome<()> {
    writeln!(
        stdout(),
        "\nSessions on one prompt of {SHARED_PROMPT} tokens, from the first submit to the last first token:\n\n\
         | execution | 1 session | {SHARERS} sessions | ratio |\n|---|--:|--:|--:|"
    )?;
    for execution in Execution::ALL {
        let (mut one, mut many) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            one.push(first_tokens(model, execution, 1, turn).await?);
            many.push(first_tokens(model, execution, SHARERS, turn).await?);
        }
        let (one, many) = (median(one), median(many));
        let ratio = many.as_secs_f64() / one.as_secs_f64();
        writeln!(stdout(), "| {execution} | {} ms | {} ms | {ratio:.2} |", one.as_millis(), many.as_millis())?;
    }
    Ok(())
}

/// From the first submit until each of `sessions` sessions with one prompt and many seeds has its first token.
async fn first_tokens(model: &LoadedModel, execution: Execution, sessions: u32, turn: u64) -> Outcome<Duration> {
    model.engine().forget_prompts()?;
    let submitted = Instant::now();
    let mut streams = Vec::new();
    for id in 0..sessions {
        let request = SessionRequest { id: SessionId(id), ..request(model, 0, SHARED_PROMPT, 2, turn)? };
        let sampling = Sampling::new(0.7, 1.0, 0, 0.0, 1.0, u64::from(id) * 1000)?;
        streams.push(model.engine().submit(SessionRequest { sampling, ..request }, execution)?);
    }
    let mut last = submitted;
    for stream in streams {
        let mut first = None;
        follow(stream, |at| {
            first.get_or_insert(at);
        })
        .await;
        last = last.max(first.ok_or("a session gave no token")?);
    }
    Ok(last - submitted)
}

/// Calls `token` with the time of each token.
async fn follow(mut stream: EventStream, mut token: impl FnMut(Instant)) {
    while let Some(event) = stream.next().await {
        if let EngineEvent::Token { at, .. } = event {
            token(at);
        }
    }
}

/// A session on a prompt of `length` tokens; another one for each session and turn, from its first token on.
fn request(model: &LoadedModel, id: u32, length: usize, max_tokens: u32, turn: u64) -> Outcome<SessionRequest> {
    let text = format!("Story {turn}, part {id}. ") + &"All work and no play makes a dull model. ".repeat(length / 4);
    let mut prompt = model.text().encode_raw(&text)?;
    prompt.truncate(length);
    if prompt.len() < length {
        return Err("the prompt is too short".into());
    }
    Ok(SessionRequest {
        id: SessionId(id),
        prompt: Arc::from(prompt),
        sampling: Sampling::new(0.7, 1.0, 0, 0.0, 1.0, u64::from(id) * 1000)?,
        max_tokens,
        // Streams go on for as long as they are watched.
        end_of_sequence: Arc::from([]),
        hash_logits: false,
    })
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
