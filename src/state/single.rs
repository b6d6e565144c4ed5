//! The single prompt's answer as the window shows it: LLMEval's output and its six figures.

use crate::protocol::{FinishReason, MemoryFigures, SessionState};

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

/// What happens to the single prompt's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum SingleUpdate {
    /// The prompt was tokenized and handed to the engine.
    Submitted {
        /// Prompt tokens after the chat template.
        prompt_tokens: u32,
    },
    /// The prompt is being read.
    Prefill,
    /// More thinking.
    Thinking(String),
    /// More of the answer.
    Answer(String),
    /// The model called a tool.
    ToolCall {
        /// The tool's name.
        name: String,
        /// Its arguments as JSON.
        arguments: String,
    },
    /// The first tool that still runs gave this.
    ToolResult(Result<String, String>),
    /// How many tokens came so far in all.
    Tokens(u32),
    /// It ended.
    Ended(FinishReason),
    /// It failed.
    Failed(String),
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
    /// Prompt tokens after the chat template, tool rounds included.
    pub prompt_tokens: u32,
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

    /// Takes in what happened `at_s` seconds after the submit.
    pub fn apply(&mut self, at_s: f64, update: SingleUpdate) {
        if !self.is_generating() {
            return;
        }
        self.elapsed_s = self.elapsed_s.max(at_s);
        match update {
            SingleUpdate::Submitted { prompt_tokens } => self.prompt_tokens = prompt_tokens,
            SingleUpdate::Prefill => self.session = SessionState::Prefill,
            SingleUpdate::Thinking(text) => match self.parts.last_mut() {
                Some(AnswerPart::Thinking(so_far)) => so_far.push_str(&text),
                _ => self.parts.push(AnswerPart::Thinking(text)),
            },
            SingleUpdate::Answer(text) => match self.parts.last_mut() {
                Some(AnswerPart::Answer(so_far)) => so_far.push_str(&text),
                _ => self.parts.push(AnswerPart::Answer(text)),
            },
            SingleUpdate::ToolCall { name, arguments } => {
                self.parts.push(AnswerPart::ToolCall { name, arguments, result: None });
            }
            SingleUpdate::ToolResult(outcome) => {
                let waiting = self.parts.iter_mut().find_map(|part| match part {
                    AnswerPart::ToolCall { result, .. } if result.is_none() => Some(result),
                    _ => None,
                });
                if let Some(result) = waiting {
                    *result = Some(outcome);
                }
            }
            SingleUpdate::Tokens(tokens) => {
                self.session = SessionState::Decoding;
                self.tokens = tokens;
                self.first_token_s.get_or_insert(at_s);
                self.last_token_s = Some(at_s);
            }
            SingleUpdate::Ended(reason) => self.phase = SinglePhase::Ended(reason),
            SingleUpdate::Failed(message) => self.phase = SinglePhase::Failed(message),
        }
    }

    /// Moves the clock while tokens are on their way.
    pub fn tick(&mut self, elapsed_s: f64) {
        if self.is_generating() {
            self.elapsed_s = elapsed_s;
        }
    }

    /// (tokens − 1) / (time of last token − time of first token); 0 below two tokens.
    pub fn tokens_per_second(&self) -> f64 {
        match (self.first_token_s, self.last_token_s) {
            (Some(first), Some(last)) if self.tokens >= 2 && last > first => {
                f64::from(self.tokens - 1) / (last - first)
            }
            _ => 0.0,
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
