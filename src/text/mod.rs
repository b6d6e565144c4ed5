//! Text in, token ids out, and back: chat templates, tokenizers, streamed detokenizing, stop strings, answer markers.

mod chat;
mod detokenizer;
mod dialect;
mod error;
mod folder;
mod gguf;
mod literals;
mod model;
mod pre_tokenizer;
mod python;
mod segmenter;
mod stop;
mod stream;
mod template;
mod token_bytes;
mod tool_calls;

pub use chat::{Chat, FunctionCall, Message, Role, ToolCall};
pub use detokenizer::Detokenizer;
pub use error::TextError;
pub use model::TextModel;
pub use segmenter::Segmenter;
pub use stop::{StopMatcher, Stopped};
pub use stream::{Chunk, TextStream};
pub use template::ChatTemplate;
