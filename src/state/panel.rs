//! One session as its panel shows it.

use super::RateCurve;
use crate::protocol::{
    EvaluationResult, FinishReason, ParallelConfig, Replay, SessionId, SessionState, SessionUpdate, Timeline,
    UpdateKind, session_seed,
};

/// One session as its panel shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The session's number.
    pub id: SessionId,
    /// The prompt as the person wrote it.
    pub prompt: String,
    /// Prompt tokens after the chat template, once known.
    pub prompt_tokens: Option<u32>,
    /// Where its random numbers begin.
    pub seed: u64,
    /// 0 is greedy.
    pub temperature: f32,
    /// Its token limit.
    pub limit: u32,
    /// Where it stands.
    pub state: SessionState,
    /// Prompt tokens read so far.
    pub prefilled: u32,
    /// The text so far.
    pub text: String,
    /// Changes whenever `text` changed in another way than by growing.
    pub revision: u64,
    /// Tokens so far.
    pub tokens: u32,
    /// How fast tokens came lately.
    pub curve: RateCurve,
    /// Its stretches, in seconds from the run's first submit; `ended_s` is only right once it ended.
    pub timeline: Timeline,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// What went wrong.
    pub error: Option<String>,
    /// How its answer compares with the same session run alone, where someone has looked.
    pub replay: Option<Replay>,
    /// Seconds from the run's first submit to this session's own clock: above 0 where it was run again.
    offset_s: f64,
}

impl Panel {
    /// A panel whose session has not begun.
    pub fn queued(config: &ParallelConfig, index: u32) -> Self {
        Self {
            id: SessionId(index),
            prompt: config.prompt(index).to_owned(),
            prompt_tokens: None,
            seed: session_seed(config.seed, index),
            temperature: config.temperature_of(index),
            limit: config.max_tokens,
            state: SessionState::Queued,
            prefilled: 0,
            text: String::new(),
            revision: 0,
            tokens: 0,
            curve: RateCurve::default(),
            timeline: Timeline::default(),
            finish: None,
            error: None,
            replay: None,
            offset_s: 0.0,
        }
    }

    /// Makes the panel ready to run again, beginning `offset_s` after the run's first submit.
    pub fn restart(&mut self, offset_s: f64) {
        self.state = SessionState::Queued;
        self.prefilled = 0;
        self.text.clear();
        self.revision += 1;
        self.tokens = 0;
        self.curve = RateCurve::default();
        self.timeline = Timeline { submitted_s: offset_s, ..Timeline::default() };
        self.finish = None;
        self.error = None;
        self.replay = None;
        self.offset_s = offset_s;
    }

    /// Takes in one update of this session. What comes after the end is dropped.
    pub fn apply(&mut self, update: SessionUpdate) {
        if self.state.is_ended() {
            return;
        }
        let at_s = update.at_s + self.offset_s;
        match update.kind {
            UpdateKind::Submitted { prompt_tokens } => {
                self.prompt_tokens = prompt_tokens;
                self.timeline.submitted_s = at_s;
            }
            UpdateKind::Prefill { done, total } => {
                self.state = SessionState::Prefill;
                self.prefilled = done;
                self.prompt_tokens = Some(total);
                self.timeline.prefill_s.get_or_insert(at_s);
            }
            UpdateKind::Tokens { text, tokens } => {
                self.state = SessionState::Decoding;
                self.text.push_str(&text);
                self.curve.add(at_s, tokens.saturating_sub(self.tokens));
                self.tokens = tokens;
                self.timeline.first_token_s.get_or_insert(at_s);
                self.timeline.last_token_s = Some(at_s);
            }
            // A panel shows the answer as it came.
            UpdateKind::Segment(_) | UpdateKind::ToolResult(_) => {}
            UpdateKind::Ended(result) => self.end(*result),
        }
    }

    fn end(&mut self, result: EvaluationResult) {
        self.state = match result.finish_reason {
            FinishReason::Error => SessionState::Failed,
            FinishReason::Cancelled => SessionState::Stopped,
            _ => SessionState::Done,
        };
        if result.text != self.text {
            self.text = result.text;
            self.revision += 1;
        }
        self.prompt = result.prompt;
        self.prompt_tokens = result.prompt_tokens;
        self.seed = result.seed;
        self.temperature = result.temperature;
        self.tokens = result.tokens;
        self.timeline = result.timeline.shifted(self.offset_s);
        self.finish = Some(result.finish_reason);
        self.error = result.error;
        self.replay = result.replay;
    }

    /// Takes in the session's result where its last update got lost.
    pub fn settle(&mut self, result: &EvaluationResult) {
        if !self.state.is_ended() {
            self.end(result.clone());
        }
    }

    /// Shows a finished session from a report.
    pub fn from_result(config: &ParallelConfig, result: &EvaluationResult) -> Self {
        let mut panel = Self::queued(config, result.id.0);
        panel.end(result.clone());
        panel
    }

    /// Its tokens/s, as `protocol`'s metrics define them.
    pub fn tokens_per_second(&self) -> f64 {
        self.timeline.tokens_per_second(self.tokens)
    }

    /// From submit to the first token out, in ms.
    pub fn time_to_first_token_ms(&self) -> Option<f64> {
        self.timeline.time_to_first_token_ms()
    }

    /// From submit to end, or to `now_s` where it has not ended.
    pub fn duration_s(&self, now_s: f64) -> f64 {
        let end = if self.state.is_ended() { self.timeline.ended_s } else { now_s };
        (end - self.timeline.submitted_s).max(0.0)
    }

    /// Tokens as a share of the limit, 0 to 1.
    pub fn progress(&self) -> f32 {
        if self.limit == 0 { 0.0 } else { (self.tokens as f32 / self.limit as f32).min(1.0) }
    }
}
