//! What drawing remembers from frame to frame: laid-out text.

use super::markdown::Markdown;
use super::stream_text::StreamText;

/// What drawing remembers from frame to frame.
#[derive(Default)]
pub struct Caches {
    /// The panels' texts, by session number.
    pub panels: Vec<StreamText>,
    /// The pieces of the single prompt's answer, in order.
    pub answers: Vec<AnswerCache>,
}

/// One piece of the single prompt's answer.
#[derive(Default)]
pub struct AnswerCache {
    /// As plain text.
    pub plain: StreamText,
    /// As Markdown.
    pub markdown: Markdown,
}
