//! What can go wrong with tokenizers and chat templates, in words for a person.

use std::path::PathBuf;

/// Why text could not be turned into tokens.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file of the model is missing or can't be opened.
    #[error("{} can't be read: {reason}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file of the model doesn't hold what it should.
    #[error("{} is broken: {reason}; download the model again", file.display())]
    Broken {
        /// Which file.
        file: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// The tokenizer needs something that isn't supported.
    #[error("the tokenizer of {model} has {field} = {value}, which isn't supported; supported: {supported}")]
    Unsupported {
        /// Which model.
        model: String,
        /// The field that decides.
        field: String,
        /// What it says.
        value: String,
        /// What it may say.
        supported: String,
    },
    /// The metadata of a GGUF file doesn't make a tokenizer.
    #[error("the tokenizer in the metadata of {model} doesn't load: {reason}")]
    BrokenMetadata {
        /// Which model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// The chat template is no valid template.
    #[error("the chat template of {model} is broken{}: {reason}", at_line(*line))]
    BrokenTemplate {
        /// Which model.
        model: String,
        /// What is wrong.
        reason: String,
        /// The template's line.
        line: Option<usize>,
    },
    /// The chat template refused the conversation with its own words.
    #[error("the chat template of {model} refuses this conversation: {message}")]
    TemplateRaised {
        /// Which model.
        model: String,
        /// What the template raised.
        message: String,
    },
    /// The chat template failed on the conversation.
    #[error("the chat template of {model} failed{}: {reason}", at_line(*line))]
    TemplateFailed {
        /// Which model.
        model: String,
        /// What went wrong.
        reason: String,
        /// The template's line.
        line: Option<usize>,
    },
    /// There is nothing to answer.
    #[error("the prompt is empty; write something to answer")]
    EmptyPrompt,
    /// The tokenizer gave up on a text.
    #[error("the tokenizer of {model} failed on the prompt: {reason}")]
    Encoding {
        /// Which model.
        model: String,
        /// What went wrong.
        reason: String,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map(|line| format!(" at line {line}")).unwrap_or_default()
}
