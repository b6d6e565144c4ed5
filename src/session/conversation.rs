//! A conversation: exchanges that follow each other, each with as many rounds of generating and of running tools as the
//! model wants, split into words, thoughts and calls. The single prompt is one, and so can any panel be.

use super::follow::submit;
use super::job::{Input, Job};
use super::live::Live;
use super::record::{End, Record, Subject};
use super::reporter::{Listener, Reporter, SessionReporter, Wake};
use super::source::Source;
use super::stop::{StopFlag, StopHandle};
use super::tools::Tools;
use crate::protocol::{
    EvaluationResult, Execution, FinishReason, Sampling, Segment, SessionError, SessionId, SessionUpdate, UpdateKind,
};
use crate::text::{Chat, Message, Role, ToolCall};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// How often the model may call tools before it has to answer.
const MOST_ROUNDS: usize = 8;

/// How a conversation's answers are generated.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationSettings {
    /// The conversation's number among those that go on beside each other; its updates carry it.
    pub id: SessionId,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The most tokens of an answer, all rounds together; at least 1.
    pub max_tokens: u32,
    /// Text that ends an answer and is never shown.
    pub stop: Vec<String>,
    /// How decode steps share the device.
    pub execution: Execution,
}

/// What was said so far, and how the next answer comes.
pub struct Conversation {
    source: Arc<dyn Source>,
    settings: ConversationSettings,
    chat: Chat,
    tools: Option<Arc<dyn Tools>>,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conversation")
            .field("source", &self.source)
            .field("settings", &self.settings)
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

impl Conversation {
    /// A conversation that goes on after the messages of `chat`, of which there may be none but a system prompt. Tools come
    /// by [`Conversation::with_tools`].
    pub fn new(source: impl Into<Arc<dyn Source>>, chat: Chat, settings: ConversationSettings) -> Self {
        Self { source: source.into(), settings, chat: Chat { tools: Vec::new(), ..chat }, tools: None }
    }

    /// Lets the model call `tools`, where it can call any.
    pub fn with_tools(mut self, tools: Arc<dyn Tools>) -> Self {
        if self.source.capabilities().tools {
            self.chat.tools = tools.definitions();
            self.tools = Some(tools);
        }
        self
    }

    /// What was said so far.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Says something and generates the answer; returns at once, and must be called within a tokio runtime. `updates`
    /// must be read, or its receiver dropped, for the exchange to end; `wake` is called after each update.
    pub fn say(mut self, words: impl Into<String>, updates: mpsc::Sender<SessionUpdate>, wake: Wake) -> Exchange {
        let (stops, stop) = StopHandle::single();
        let words = words.into();
        let mut reporter = SessionReporter { id: self.settings.id, reporter: Reporter::new(updates, wake) };
        let task = tokio::spawn(async move {
            let result = self.exchange(words, &mut reporter, stop).await;
            (self, result)
        });
        Exchange(Live::new(stops, task))
    }

    /// One exchange. Where it gave no words and was broken off, what was said is as before.
    async fn exchange(&mut self, words: String, reporter: &mut SessionReporter, stop: StopFlag) -> EvaluationResult {
        let before = self.chat.messages.len();
        self.chat.messages.push(Message::new(Role::User, words.as_str()));
        let subject = Subject::new(self.settings.id, self.source.origin(), words, &self.settings.sampling);
        let mut record = Record::default();
        let end = self.rounds(&mut record, reporter, stop).await;
        let is_answer = |message: &Message| message.role == Role::Assistant && message.tool_calls.is_empty();
        if !self.chat.messages.last().is_some_and(is_answer) {
            self.chat.messages.truncate(before);
        }
        let at = end.at;
        let result = record.into_result(subject, end, &reporter.reporter.clock);
        reporter.hear(at, UpdateKind::Ended(Box::new(result.clone()))).await;
        result
    }

    /// Generates, runs the tools that were called, generates again, until an answer comes.
    async fn rounds(&mut self, record: &mut Record, reporter: &mut SessionReporter, stop: StopFlag) -> End {
        for _ in 0..MOST_ROUNDS {
            let clock = reporter.reporter.clock.clone();
            let mut round = Round { reporter: &mut *reporter, tokens_before: record.tokens, segments: Vec::new() };
            let starting = self.source.start(self.job(record.tokens));
            let submitted = submit(starting, &clock, &mut round, stop.clone()).await;
            let (given, end) = submitted.follow(&mut round).await;
            let segments = round.segments;
            record.append(given);
            let is_called = segments.iter().any(|segment| matches!(segment, Segment::ToolCall { .. }));
            if !is_called || !end.reason.is_success() || record.tokens >= self.settings.max_tokens {
                self.keep_answer(segments, &end);
                return end;
            }
            let calls = self.chat.push_answer(&segments);
            if let Some(end) = self.run_tools(&calls, reporter, stop.clone()).await {
                return end;
            }
        }
        let words = format!("The model called tools {MOST_ROUNDS} times without an answer; ask it in another way.");
        End::failed(SessionError(words))
    }

    /// Adds the answer to what was said, calls left out that nobody runs any more. One that was broken off before its
    /// first word is no answer.
    fn keep_answer(&mut self, mut segments: Vec<Segment>, end: &End) {
        segments.retain(|segment| !matches!(segment, Segment::ToolCall { .. }));
        let has_words = segments.iter().any(|segment| matches!(segment, Segment::Text { .. }));
        if end.reason.is_success() || has_words {
            self.chat.push_answer(&segments);
        }
    }

    /// Runs the tools that were called, one after the other; gives the exchange's end where it was stopped meanwhile.
    async fn run_tools(
        &mut self,
        calls: &[ToolCall],
        reporter: &mut SessionReporter,
        mut stop: StopFlag,
    ) -> Option<End> {
        for call in calls {
            let result = tokio::select! {
                biased;
                () = stop.raised() => return Some(End::now(FinishReason::Cancelled)),
                result = self.run_tool(call) => result,
            };
            reporter.hear(Instant::now(), UpdateKind::ToolResult(result.clone())).await;
            let content = result.unwrap_or_else(|error| serde_json::json!({ "error": error }).to_string());
            self.chat.push_tool_result(call, content);
        }
        None
    }

    async fn run_tool(&self, call: &ToolCall) -> Result<String, String> {
        let Some(tools) = self.tools.clone() else { return Err("there are no tools here; answer in words".into()) };
        let (name, arguments) = (call.function.name.clone(), call.function.arguments.to_string());
        let running = spawn_blocking(move || tools.run(&name, &arguments));
        running.await.unwrap_or_else(|error| Err(format!("the tool failed unexpectedly: {error}")))
    }

    /// What is to be generated next, once an exchange has given so many tokens.
    fn job(&self, tokens: u32) -> Job {
        let ConversationSettings { id, sampling, max_tokens, stop, execution } = self.settings.clone();
        Job {
            id,
            input: Input::Chat(self.chat.clone()),
            sampling,
            max_tokens: max_tokens.saturating_sub(tokens),
            stop,
            execution,
            splits: true,
            hashes_logits: false,
        }
    }
}

/// Something said whose answer is coming. Dropping it stops it.
#[derive(Debug)]
pub struct Exchange(Live<(Conversation, EvaluationResult)>);

impl Exchange {
    /// Stops it, also from elsewhere and while [`Exchange::finish`] is awaited.
    pub fn stop_handle(&self) -> StopHandle {
        self.0.stop_handle()
    }

    /// Waits for the end: the conversation, in which another exchange can follow, and what this one gave, all of its
    /// rounds together.
    pub async fn finish(self) -> (Conversation, EvaluationResult) {
        self.0.finish().await
    }
}

/// One round on its way: its parts are kept, and its tokens counted on from the rounds before.
struct Round<'a> {
    reporter: &'a mut SessionReporter,
    tokens_before: u32,
    segments: Vec<Segment>,
}

impl Listener for Round<'_> {
    async fn hear(&mut self, at: Instant, kind: UpdateKind) {
        let kind = match kind {
            UpdateKind::Tokens { text, tokens } => UpdateKind::Tokens { text, tokens: self.tokens_before + tokens },
            UpdateKind::Segment(segment) => {
                self.segments.push(segment.clone());
                UpdateKind::Segment(segment)
            }
            kind => kind,
        };
        self.reporter.hear(at, kind).await;
    }
}
