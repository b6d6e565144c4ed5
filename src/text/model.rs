//! Everything about a model's text in one place: its tokenizer, chat template and end-of-sequence ids.

use super::dialect::Dialect;
use super::folder::{self, Parts};
use super::token_bytes::{TokenBytes, UnsupportedDecoder};
use super::{Chat, ChatTemplate, Detokenizer, Segmenter, TextError, gguf};
use crate::protocol::GgufTokenizer;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tokenizers::Tokenizer;

/// A model's side of text. It never changes once loaded: sessions share it and use it at the same time.
#[derive(Debug)]
pub struct TextModel {
    name: String,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    tokens: Arc<TokenBytes>,
    end_of_sequence: Arc<[u32]>,
    bos: Option<String>,
    prefix: Option<u32>,
    dialect: Dialect,
}

impl TextModel {
    /// Loads the text side of a folder in the mlx-community layout. Needs tokenizer.json; reads tokenizer_config.json,
    /// special_tokens_map.json, chat_template.jinja or .json, config.json and generation_config.json where present.
    pub fn from_folder(folder: &Path) -> Result<Self, TextError> {
        Self::new(&folder.display().to_string(), folder::parts(folder)?)
    }

    /// Builds the text side of a GGUF file from its metadata; `name` stands for the file in errors.
    pub fn from_gguf(name: &str, metadata: &GgufTokenizer) -> Result<Self, TextError> {
        Self::new(name, gguf::parts(name, metadata)?)
    }

    fn new(name: &str, parts: Parts) -> Result<Self, TextError> {
        let Parts { tokenizer, templates, special_tokens, end_of_sequence, prefix } = parts;
        let dialect = Dialect::detect(&templates, |marker| tokenizer.token_to_id(marker).is_some());
        let tokens =
            TokenBytes::new(&tokenizer, |token| dialect.is_marker(token)).map_err(|UnsupportedDecoder(decoder)| {
                TextError::Unsupported {
                    model: name.to_owned(),
                    field: "decoder".into(),
                    value: decoder,
                    supported: TokenBytes::SUPPORTED.into(),
                }
            })?;
        let bos = special_tokens.get("bos_token").cloned();
        let template =
            (!templates.is_empty()).then(|| ChatTemplate::new(name, &templates, special_tokens)).transpose()?;
        Ok(Self {
            name: name.to_owned(),
            tokenizer,
            template,
            tokens: Arc::new(tokens),
            end_of_sequence: end_of_sequence.into_iter().collect(),
            bos,
            prefix,
            dialect,
        })
    }

    /// The chat template; without one, [`TextModel::encode_chat`] takes the turns as plain text.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Whether the chat template has a thinking switch.
    pub fn can_think(&self) -> bool {
        self.template.as_ref().is_some_and(ChatTemplate::can_think)
    }

    /// Whether the chat template takes tools.
    pub fn can_use_tools(&self) -> bool {
        self.template.as_ref().is_some_and(ChatTemplate::can_use_tools)
    }

    /// The ids that end an answer: those of config.json, generation_config.json and the tokenizer together.
    pub fn end_of_sequence(&self) -> Arc<[u32]> {
        Arc::clone(&self.end_of_sequence)
    }

    /// Ends answers at these tokens too, where the tokenizer has them.
    pub fn with_stop_tokens(mut self, tokens: &[String]) -> Self {
        let further = tokens.iter().filter_map(|token| self.tokenizer.token_to_id(token));
        let ids: BTreeSet<u32> = self.end_of_sequence.iter().copied().chain(further).collect();
        self.end_of_sequence = ids.into_iter().collect();
        self
    }

    /// Renders a conversation and turns it into ids. The template writes the beginning-of-sequence token where the
    /// model wants one, so none is added. A model without a template gets the turns as text, a blank line between.
    pub fn encode_chat(&self, chat: &Chat) -> Result<Vec<u32>, TextError> {
        let is_blank = |message: &super::Message| {
            message.tool_calls.is_empty() && message.content.as_deref().unwrap_or_default().trim().is_empty()
        };
        if chat.messages.last().is_none_or(is_blank) {
            return Err(TextError::EmptyPrompt);
        }
        match &self.template {
            Some(template) => self.encode(&template.render(chat)?, false),
            None => {
                let turns: Vec<&str> = chat.messages.iter().filter_map(|message| message.content.as_deref()).collect();
                self.encode_raw(&turns.join("\n\n"))
            }
        }
    }

    /// Turns text into ids without a chat template. The beginning-of-sequence token is put before it where the
    /// tokenizer says so and the text doesn't begin with it.
    pub fn encode_raw(&self, text: &str) -> Result<Vec<u32>, TextError> {
        if text.is_empty() {
            return Err(TextError::EmptyPrompt);
        }
        let has_bos = self.bos.as_deref().is_some_and(|bos| text.starts_with(bos));
        let mut ids = self.encode(text, !has_bos)?;
        if let Some(prefix) = self.prefix.filter(|_| !has_bos) {
            ids.insert(0, prefix);
        }
        Ok(ids)
    }

    fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, TextError> {
        let encoding = self.tokenizer.encode_fast(text, add_special_tokens);
        let encoding =
            encoding.map_err(|error| TextError::Encoding { model: self.name.clone(), reason: error.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Starts turning an answer's ids into text.
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer::new(Arc::clone(&self.tokens))
    }

    /// Starts splitting the answer to `chat` into words, thoughts and tool calls, by this model's own markers.
    pub fn segmenter(&self, chat: &Chat) -> Segmenter {
        // A conversation that the template refuses has no answer to split.
        let prompt = self.template.as_ref().and_then(|template| template.render(chat).ok()).unwrap_or_default();
        Segmenter::new(self.dialect.clone(), &prompt, !chat.tools.is_empty())
    }

    /// The text of an answer whose ids are all there.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut detokenizer = self.detokenizer();
        let mut text: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
        text.push_str(&detokenizer.finish());
        text
    }
}
