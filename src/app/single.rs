//! The single prompt on its way: rounds of an answer and of the tools that it calls.

use super::feature::Feature;
use super::shell::Shell;
use super::tools;
use crate::protocol::{EvaluationResult, FinishReason, Sampling, Segment, UpdateKind};
use crate::session::{ChatGeneration, ChatRequest, Input, LoadedModel, Wake};
use crate::state::{SingleSettings, SingleState, SingleUpdate, Tone};
use crate::text::{Chat, FunctionCall, Message, Role, ToolCall};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, spawn_blocking};

/// Updates that can wait for the window.
const WAITING_UPDATES: usize = 1024;

/// How often the model may call tools before it has to answer.
const MOST_ROUNDS: usize = 8;

/// An answer that is on. Dropping it ends it.
pub struct LiveSingle {
    begin: Instant,
    stop: watch::Sender<bool>,
    updates: mpsc::Receiver<(Instant, SingleUpdate)>,
    task: AbortHandle,
}

impl LiveSingle {
    /// Asks the model; must be called within a tokio runtime.
    pub fn start(model: &LoadedModel, settings: &SingleSettings, wake: Wake) -> Result<Self, String> {
        let conversation = Conversation::new(model, settings)?;
        let (stop, stopped) = watch::channel(false);
        let (sender, updates) = mpsc::channel(WAITING_UPDATES);
        let teller = Teller { sender, wake };
        let task = tokio::spawn(conversation.hold(teller, stopped)).abort_handle();
        Ok(Self { begin: Instant::now(), stop, updates, task })
    }

    /// Stops it; its end is still to come.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Takes what came since the last frame into `single`. Returns whether the answer goes on.
    pub fn drain(&mut self, single: &mut SingleState) -> bool {
        while let Ok((at, update)) = self.updates.try_recv() {
            single.apply(at.saturating_duration_since(self.begin).as_secs_f64(), update);
        }
        if self.updates.is_closed() && self.updates.is_empty() && single.is_generating() {
            single.apply(0.0, SingleUpdate::Failed("The answer ended unexpectedly; generate it again.".into()));
        }
        single.tick(self.begin.elapsed().as_secs_f64());
        single.is_generating()
    }
}

impl Drop for LiveSingle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The window's end of the answer: first the update, then the wake-up.
struct Teller {
    sender: mpsc::Sender<(Instant, SingleUpdate)>,
    wake: Wake,
}

impl Teller {
    async fn tell(&self, update: SingleUpdate) {
        // Nobody is left to tell where the window gave the answer up.
        let _ = self.sender.send((Instant::now(), update)).await;
        (self.wake)();
    }
}

/// What is said, round after round.
struct Conversation {
    model: LoadedModel,
    chat: Chat,
    sampling: Sampling,
    max_tokens: u32,
    /// Tokens of the rounds before.
    tokens: u32,
}

/// What one round gave besides what was told.
#[derive(Default)]
struct Round {
    words: String,
    thoughts: String,
    calls: Vec<FunctionCall>,
}

impl Conversation {
    fn new(model: &LoadedModel, settings: &SingleSettings) -> Result<Self, String> {
        let sampling = Sampling::new(settings.temperature, 1.0, 0, 0.0, 1.0, seed_of_now());
        let system = (!settings.system.trim().is_empty()).then(|| Message::new(Role::System, settings.system.as_str()));
        let question = Message::new(Role::User, settings.prompt.as_str());
        let has_tools = settings.tools && model.summary().can_use_tools;
        Ok(Self {
            model: model.clone(),
            chat: Chat {
                messages: system.into_iter().chain([question]).collect(),
                tools: if has_tools { tools::definitions() } else { Vec::new() },
                thinking: Some(settings.thinking),
            },
            sampling: sampling.map_err(|invalid| invalid.to_string())?,
            max_tokens: settings.max_tokens(),
            tokens: 0,
        })
    }

    /// Generates, runs the tools that were called, generates again, until an answer comes.
    async fn hold(mut self, teller: Teller, mut stop: watch::Receiver<bool>) {
        for _ in 0..MOST_ROUNDS {
            let Some((round, result)) = self.generate(&teller, &mut stop).await else { return };
            self.tokens += result.tokens;
            let left = self.max_tokens.saturating_sub(result.tokens);
            if round.calls.is_empty() || !result.finish_reason.is_success() || left == 0 {
                return teller.tell(ended(&result)).await;
            }
            self.max_tokens = left;
            self.call(round, &teller).await;
        }
        let words = format!("The model called tools {MOST_ROUNDS} times without an answer; ask it in another way.");
        teller.tell(SingleUpdate::Failed(words)).await;
    }

    /// One round; none where it broke, which was told.
    async fn generate(&self, teller: &Teller, stop: &mut watch::Receiver<bool>) -> Option<(Round, EvaluationResult)> {
        let (model, chat) = (self.model.clone(), self.chat.clone());
        let segmenter = spawn_blocking(move || model.text().segmenter(&chat)).await;
        let Ok(mut segmenter) = segmenter else {
            teller.tell(SingleUpdate::Failed("The chat template failed unexpectedly.".into())).await;
            return None;
        };
        let request = ChatRequest {
            input: Input::Chat(self.chat.clone()),
            sampling: self.sampling,
            max_tokens: self.max_tokens,
            stop: Vec::new(),
        };
        let (sender, mut updates) = mpsc::channel(WAITING_UPDATES);
        let generation = ChatGeneration::start(&self.model, request, sender, Arc::new(|| {}));
        let stops = generation.stop_handle();
        let mut round = Round::default();
        let mut is_stopping = false;
        loop {
            let update = tokio::select! {
                biased;
                _ = stop.wait_for(|is_stopped| *is_stopped), if !is_stopping => {
                    is_stopping = true;
                    stops.stop_all();
                    continue;
                }
                update = updates.recv() => update,
            };
            match update?.kind {
                UpdateKind::Submitted { prompt_tokens } => teller.tell(SingleUpdate::Submitted { prompt_tokens }).await,
                UpdateKind::Prefill { .. } => teller.tell(SingleUpdate::Prefill).await,
                UpdateKind::Tokens { text, tokens } => {
                    teller.tell(SingleUpdate::Tokens(self.tokens + tokens)).await;
                    round.take(segmenter.push(&text), teller).await;
                }
                UpdateKind::Ended(result) => {
                    round.take(segmenter.finish(), teller).await;
                    return Some((round, *result));
                }
            }
        }
    }

    /// Runs the tools that a round called, and adds both to the conversation.
    async fn call(&mut self, round: Round, teller: &Teller) {
        let mut results = Vec::new();
        for call in &round.calls {
            let result = tools::run(&call.name, &call.arguments.to_string());
            teller.tell(SingleUpdate::ToolResult(result.clone())).await;
            let content = result.unwrap_or_else(|error| serde_json::json!({ "error": error }).to_string());
            results.push(Message { name: Some(call.name.clone()), ..Message::new(Role::Tool, content) });
        }
        let calls = round.calls.into_iter().map(|function| ToolCall { id: None, kind: "function".into(), function });
        self.chat.messages.push(Message {
            reasoning_content: (!round.thoughts.is_empty()).then_some(round.thoughts),
            tool_calls: calls.collect(),
            ..Message::new(Role::Assistant, round.words)
        });
        self.chat.messages.extend(results);
    }
}

impl Round {
    async fn take(&mut self, segments: Vec<Segment>, teller: &Teller) {
        for segment in segments {
            let update = match segment {
                Segment::Text { text } => {
                    self.words.push_str(&text);
                    SingleUpdate::Answer(text)
                }
                Segment::Thinking { text } => {
                    self.thoughts.push_str(&text);
                    SingleUpdate::Thinking(text)
                }
                Segment::ToolCall { name, arguments } => {
                    let read = serde_json::from_str(&arguments).unwrap_or_else(|_| arguments.clone().into());
                    self.calls.push(FunctionCall { name: name.clone(), arguments: read });
                    SingleUpdate::ToolCall { name, arguments }
                }
            };
            teller.tell(update).await;
        }
    }
}

fn ended(result: &EvaluationResult) -> SingleUpdate {
    match (&result.error, result.finish_reason) {
        (Some(error), FinishReason::Error) => SingleUpdate::Failed(error.clone()),
        (_, reason) => SingleUpdate::Ended(reason),
    }
}

/// Another seed at every press of Generate.
fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The single prompt.
#[derive(Default)]
pub struct Single {
    live: Option<LiveSingle>,
}

impl Single {
    /// Answers the prompt, unless something is on.
    pub fn generate(&mut self, shell: &mut Shell) {
        let Some(model) = shell.models.current().filter(|_| !shell.state.is_busy()) else { return };
        match LiveSingle::start(model, &shell.state.settings.single, shell.pace.wake()) {
            Ok(live) => {
                self.live = Some(live);
                shell.state.single.start();
            }
            Err(message) => shell.state.notify(Tone::Problem, message),
        }
    }
}

impl Feature for Single {
    fn take_in(&mut self, shell: &mut Shell) {
        if let Some(live) = &mut self.live
            && !live.drain(&mut shell.state.single)
        {
            self.live = None;
        }
    }

    fn stop(&mut self, _shell: &mut Shell) {
        if let Some(live) = &self.live {
            live.stop();
        }
    }
}
