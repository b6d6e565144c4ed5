//! The order of the results table.

use crate::protocol::{EvaluationResult, milliseconds, or_nothing};
use std::cmp::Ordering;

/// A column of the results table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultColumn {
    /// The session's number.
    #[default]
    Session,
    /// Why it ended.
    Finish,
    /// Tokens given.
    Tokens,
    /// Tokens per second.
    Rate,
    /// Time to first token.
    FirstToken,
    /// From submit to end.
    Duration,
    /// Prompt tokens after the chat template.
    PromptTokens,
    /// Where its random numbers began.
    Seed,
    /// Its temperature.
    Temperature,
}

impl ResultColumn {
    /// Every column, from left to right.
    pub const ALL: [Self; 9] = [
        Self::Session,
        Self::Finish,
        Self::Tokens,
        Self::Rate,
        Self::FirstToken,
        Self::Duration,
        Self::PromptTokens,
        Self::Seed,
        Self::Temperature,
    ];

    /// The column's heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Session => "Session",
            Self::Finish => "Finish",
            Self::Tokens => "Tokens",
            Self::Rate => "Tokens/s",
            Self::FirstToken => "First token",
            Self::Duration => "Duration",
            Self::PromptTokens => "Prompt",
            Self::Seed => "Seed",
            Self::Temperature => "Temp.",
        }
    }

    /// What a cell of this column says.
    pub fn cell(self, session: &EvaluationResult) -> String {
        match self {
            Self::Session => session.id.to_string(),
            Self::Finish => session.finish_reason.to_string(),
            Self::Tokens => session.tokens.to_string(),
            Self::Rate => format!("{:.2}", session.tokens_per_second),
            Self::FirstToken => or_nothing(session.time_to_first_token_ms, milliseconds),
            Self::Duration => format!("{:.2} s", session.duration_s),
            Self::PromptTokens => or_nothing(session.prompt_tokens, |tokens| tokens.to_string()),
            Self::Seed => session.seed.to_string(),
            Self::Temperature => format!("{:.2}", session.temperature),
        }
    }

    fn compare(self, one: &EvaluationResult, other: &EvaluationResult) -> Ordering {
        match self {
            Self::Session => one.id.cmp(&other.id),
            Self::Finish => one.finish_reason.label().cmp(other.finish_reason.label()),
            Self::Tokens => one.tokens.cmp(&other.tokens),
            Self::Rate => one.tokens_per_second.total_cmp(&other.tokens_per_second),
            Self::FirstToken => {
                let place = |session: &EvaluationResult| session.time_to_first_token_ms.unwrap_or(f64::INFINITY);
                place(one).total_cmp(&place(other))
            }
            Self::Duration => one.duration_s.total_cmp(&other.duration_s),
            Self::PromptTokens => one.prompt_tokens.cmp(&other.prompt_tokens),
            Self::Seed => one.seed.cmp(&other.seed),
            Self::Temperature => one.temperature.total_cmp(&other.temperature),
        }
    }
}

/// How the results table is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultOrder {
    /// By which column.
    pub column: ResultColumn,
    /// From the highest down.
    pub is_descending: bool,
}

impl ResultOrder {
    /// The order after a click on `column`'s heading: the same column again turns it round.
    pub fn clicked(self, column: ResultColumn) -> Self {
        Self { column, is_descending: self.column == column && !self.is_descending }
    }

    /// Places in `sessions`, in this order; equals stay in order of their numbers.
    pub fn sort(self, sessions: &[EvaluationResult]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..sessions.len()).collect();
        places.sort_by(|one, other| {
            let order = self.column.compare(&sessions[*one], &sessions[*other]);
            if self.is_descending { order.reverse() } else { order }
        });
        places
    }
}
