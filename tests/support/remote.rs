//! An engine elsewhere, as far as a session can tell: it streams text and says at the end how many tokens that was, but
//! no ids, no memory, and it runs nothing exactly.

use llmeval::protocol::{Capabilities, FinishReason, Origin, Segment, SessionError, SessionId};
use llmeval::session::{Answer, AnswerEvent, Input, Job, Piece, Source, Started, Starting};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What it does with which session.
#[derive(Clone, Debug, Default)]
pub struct RemoteScript {
    /// How long each chunk takes.
    pub chunk: Duration,
    /// Sessions that it refuses.
    pub refuses: Vec<SessionId>,
    /// Sessions whose stream breaks after their first chunk.
    pub breaks: Vec<SessionId>,
    /// From which session that is asked for on (counted from 0) it answers in other words.
    pub changes_its_mind_at: Option<usize>,
    /// What it tells of the prompt's length.
    pub prompt_tokens: Option<u32>,
}

/// The engine.
#[derive(Debug)]
pub struct RemoteSource {
    origin: Origin,
    capabilities: Capabilities,
    script: RemoteScript,
    asked: AtomicUsize,
    /// Jobs in the order in which they were handed over.
    pub jobs: Arc<Mutex<Vec<Job>>>,
    /// Whether a session was cancelled.
    pub was_cancelled: Arc<AtomicBool>,
}

/// Tokens that the engine counts for each chunk that it streams.
pub const TOKENS_OF_A_CHUNK: u32 = 2;

impl RemoteSource {
    pub fn new(engine: &str, script: RemoteScript) -> Arc<Self> {
        Arc::new(Self {
            origin: Origin { model: "Qwen/Qwen3-32B".into(), engine: engine.into() },
            capabilities: Capabilities {
                token_ids: false,
                exact: Err("this engine can't keep sessions apart bit for bit".into()),
                memory: false,
                log_probabilities: 0,
                tools: false,
            },
            script,
            asked: AtomicUsize::new(0),
            jobs: Arc::default(),
            was_cancelled: Arc::default(),
        })
    }

    /// The chunks in which it answers a prompt.
    pub fn chunks(prompt: &str, max_tokens: u32) -> Vec<String> {
        let words = format!("You said “{prompt}”, and I heard it");
        let chunks = words.split_inclusive(' ').map(str::to_owned);
        chunks.take((max_tokens / TOKENS_OF_A_CHUNK) as usize).collect()
    }
}

impl Source for RemoteSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn start(&self, job: Job) -> Starting {
        let (script, jobs) = (self.script.clone(), Arc::clone(&self.jobs));
        let other_words = script.changes_its_mind_at.is_some_and(|at| self.asked.fetch_add(1, Ordering::SeqCst) >= at);
        let was_cancelled = Arc::clone(&self.was_cancelled);
        Box::pin(async move {
            jobs.lock().unwrap().push(job.clone());
            if script.refuses.contains(&job.id) {
                return Err(SessionError("vllm@studio has no model of that name".into()));
            }
            let Input::Chat(chat) = &job.input else {
                return Err(SessionError("only conversations are spoken".into()));
            };
            let prompt = chat.messages.last().and_then(|message| message.content.clone()).unwrap_or_default();
            let prompt = if other_words { prompt.to_uppercase() } else { prompt };
            let (sender, events) = mpsc::channel(1000);
            tokio::spawn(stream(job, prompt, script, sender));
            Ok(Started {
                at: Instant::now(),
                prompt_tokens: None,
                answer: Box::new(RemoteAnswer { events, was_cancelled, has_ended: false }),
            })
        })
    }
}

async fn stream(job: Job, prompt: String, script: RemoteScript, events: mpsc::Sender<AnswerEvent>) {
    let chunks = RemoteSource::chunks(&prompt, job.max_tokens);
    let count = chunks.len() as u32;
    for text in chunks {
        tokio::time::sleep(script.chunk).await;
        let segments = if job.splits { vec![Segment::Text { text: text.clone() }] } else { Vec::new() };
        let piece = Piece { text, segments, tokens: 1, id: None, logits_hash: None, at: Instant::now() };
        if events.send(AnswerEvent::Piece(piece)).await.is_err() {
            return;
        }
        if script.breaks.contains(&job.id) {
            let error = Some(SessionError("the connection to vllm@studio was reset".into()));
            let end = AnswerEvent::Ended { reason: FinishReason::Error, error, at: Instant::now() };
            let _ = events.send(end).await;
            return;
        }
    }
    let tokens = Some(count * TOKENS_OF_A_CHUNK);
    let _ = events.send(AnswerEvent::Counted { prompt_tokens: script.prompt_tokens, tokens }).await;
    let end = AnswerEvent::Ended { reason: FinishReason::EndOfSequence, error: None, at: Instant::now() };
    let _ = events.send(end).await;
}

struct RemoteAnswer {
    events: mpsc::Receiver<AnswerEvent>,
    was_cancelled: Arc<AtomicBool>,
    has_ended: bool,
}

impl Answer for RemoteAnswer {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<AnswerEvent> {
        assert!(!self.has_ended, "nothing is polled after the last event");
        self.events.poll_recv(context).map(|event| {
            let cancelled = AnswerEvent::Ended { reason: FinishReason::Cancelled, error: None, at: Instant::now() };
            let event = event.unwrap_or(cancelled);
            self.has_ended = matches!(event, AnswerEvent::Ended { .. });
            event
        })
    }

    fn cancel(&mut self) {
        self.was_cancelled.store(true, Ordering::SeqCst);
        self.events.close();
    }
}
