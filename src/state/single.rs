//! The single prompt's answer as the window shows it: LLMEval's output and its six figures.

use crate::protocol::{
    FinishReason, MemoryFigures, NOTHING, Segment, SessionState, SessionUpdate, UpdateKind, tokens_per_second,
};

/// Where the single prompt stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SinglePhase {
    /// Nothing was asked yet.
    #[default]
    Idle,
    /// Tokens are on their way.
    Generating,
    /// It ended.
    Ended(FinishReason),
    /// It failed.
    Failed(String),
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerPart {
    /// What the model thought before it answered; folded away.
    Thinking(String),
    /// The answer.
    Answer(String),
    /// A tool that the model called.
    ToolCall {
        /// The tool's name.
        name: String,
        /// Its arguments as JSON.
        arguments: String,
        /// What it gave, once it ran; an error is one too.
        result: Option<Result<String, String>>,
    },
}

/// The single prompt's answer as the window shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SingleState {
    /// Where it stands.
    pub phase: SinglePhase,
    /// The engine's part of it, while it is generating.
    pub session: SessionState,
    /// What came, in order.
    pub parts: Vec<AnswerPart>,
    /// Changes with every new answer: text under another generation is another text.
    pub generation: u64,
    /// Prompt tokens after the chat template, tool rounds included; none before they are known.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, thinking and tool calls included.
    pub tokens: u32,
    /// Seconds from submit to the first token.
    pub first_token_s: Option<f64>,
    /// Seconds from submit to the last token.
    pub last_token_s: Option<f64>,
    /// Seconds from submit to now, or to the end.
    pub elapsed_s: f64,
}

impl SingleState {
    /// Whether tokens are on their way.
    pub fn is_generating(&self) -> bool {
        self.phase == SinglePhase::Generating
    }

    /// Clears everything for a new answer.
    pub fn start(&mut self) {
        *self = Self { phase: SinglePhase::Generating, generation: self.generation + 1, ..Self::default() };
    }

    /// Takes in what happened to the conversation.
    pub fn apply(&mut self, update: SessionUpdate) {
        if !self.is_generating() {
            return;
        }
        let at_s = update.at_s;
        self.elapsed_s = self.elapsed_s.max(at_s);
        match update.kind {
            UpdateKind::Submitted { prompt_tokens } => self.prompt_tokens = prompt_tokens,
            UpdateKind::Prefill { .. } => self.session = SessionState::Prefill,
            UpdateKind::Segment(Segment::Thinking { text }) => match self.parts.last_mut() {
                Some(AnswerPart::Thinking(so_far)) => so_far.push_str(&text),
                _ => self.parts.push(AnswerPart::Thinking(text)),
            },
            UpdateKind::Segment(Segment::Text { text }) => match self.parts.last_mut() {
                Some(AnswerPart::Answer(so_far)) => so_far.push_str(&text),
                _ => self.parts.push(AnswerPart::Answer(text)),
            },
            UpdateKind::Segment(Segment::ToolCall { name, arguments }) => {
                self.parts.push(AnswerPart::ToolCall { name, arguments, result: None });
            }
            UpdateKind::ToolResult(outcome) => {
                let waiting = self.parts.iter_mut().find_map(|part| match part {
                    AnswerPart::ToolCall { result, .. } if result.is_none() => Some(result),
                    _ => None,
                });
                if let Some(result) = waiting {
                    *result = Some(outcome);
                }
            }
            UpdateKind::Tokens { tokens, .. } => {
                self.session = SessionState::Decoding;
                self.tokens = tokens;
                self.first_token_s.get_or_insert(at_s);
                self.last_token_s = Some(at_s);
            }
            UpdateKind::Ended(result) => {
                self.phase = match (result.error, result.finish_reason) {
                    (Some(error), FinishReason::Error) => SinglePhase::Failed(error),
                    (_, reason) => SinglePhase::Ended(reason),
                }
            }
        }
    }

    /// Ends an answer of which nothing more comes.
    pub fn break_off(&mut self, message: impl Into<String>) {
        if self.is_generating() {
            self.phase = SinglePhase::Failed(message.into());
        }
    }

    /// Moves the clock while tokens are on their way.
    pub fn tick(&mut self, elapsed_s: f64) {
        if self.is_generating() {
            self.elapsed_s = elapsed_s;
        }
    }

    /// The answer's tokens/s, as `protocol`'s metrics define them.
    pub fn tokens_per_second(&self) -> f64 {
        tokens_per_second(self.tokens, self.first_token_s, self.last_token_s)
    }

    /// Prompt tokens in words.
    pub fn prompt_length(&self) -> String {
        match (self.prompt_tokens, &self.phase) {
            (Some(tokens), _) => tokens.to_string(),
            (None, SinglePhase::Idle | SinglePhase::Generating) => "0".to_owned(),
            (None, SinglePhase::Ended(_) | SinglePhase::Failed(_)) => NOTHING.to_owned(),
        }
    }

    /// The answer's text without thinking and tool calls, for copying.
    pub fn answer(&self) -> String {
        let answers = self.parts.iter().filter_map(|part| match part {
            AnswerPart::Answer(text) => Some(text.trim()),
            _ => None,
        });
        answers.collect::<Vec<_>>().join("\n\n")
    }
}

/// MLX's memory and its limits, for the sixth card and its hover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCard {
    /// MLX's own figures.
    pub figures: MemoryFigures,
    /// The machine's memory in bytes: the limit of what can be active.
    pub memory_limit: u64,
    /// The cache limit in bytes.
    pub cache_limit: u64,
}
