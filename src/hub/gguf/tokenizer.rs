//! The tokenizer's part of a GGUF file's metadata.

use super::{Gguf, GgufValue};
use crate::hub::HubError;
use crate::protocol::GgufTokenizer;

impl Gguf {
    /// The values under `tokenizer.*`.
    pub fn tokenizer(&self) -> Result<GgufTokenizer, HubError> {
        let texts = |key| Ok(self.find(key, GgufValue::as_texts)?.unwrap_or_default().to_vec());
        let id = |key| Ok(self.find(key, GgufValue::as_unsigned)?.and_then(|id| u32::try_from(id).ok()));
        let truth = |key| self.find(key, GgufValue::as_bool);
        let text = |key| Ok(self.find(key, GgufValue::as_text)?.map(str::to_owned));
        let scores = self.find("tokenizer.ggml.scores", GgufValue::as_floats)?.unwrap_or_default();
        let token_types = self.find("tokenizer.ggml.token_type", GgufValue::as_integers)?.unwrap_or_default();
        let template = "tokenizer.chat_template";
        let named_chat_templates = self
            .metadata()
            .iter()
            .filter_map(|(key, value)| {
                let name = key.strip_prefix(template)?.strip_prefix('.')?;
                Some((name.to_owned(), value.as_text()?.to_owned()))
            })
            .collect();
        Ok(GgufTokenizer {
            architecture: self.require("general.architecture", GgufValue::as_text)?.to_owned(),
            model: self.require("tokenizer.ggml.model", GgufValue::as_text)?.to_owned(),
            pre: text("tokenizer.ggml.pre")?,
            tokens: self.require("tokenizer.ggml.tokens", GgufValue::as_texts)?.to_vec(),
            merges: texts("tokenizer.ggml.merges")?,
            scores: scores.iter().map(|score| *score as f32).collect(),
            token_types: token_types.iter().map(|kind| *kind as i32).collect(),
            bos: id("tokenizer.ggml.bos_token_id")?,
            eos: id("tokenizer.ggml.eos_token_id")?,
            eot: id("tokenizer.ggml.eot_token_id")?,
            eom: id("tokenizer.ggml.eom_token_id")?,
            unknown: id("tokenizer.ggml.unknown_token_id")?,
            padding: id("tokenizer.ggml.padding_token_id")?,
            add_bos: truth("tokenizer.ggml.add_bos_token")?,
            add_space_prefix: truth("tokenizer.ggml.add_space_prefix")?,
            chat_template: text(template)?,
            named_chat_templates,
        })
    }
}
