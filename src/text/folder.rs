//! A tokenizer and its companions from a folder in the mlx-community layout.

use super::TextError;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};
use tokenizers::Tokenizer;

/// What a text model is made of, wherever it came from.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) tokenizer: Tokenizer,
    /// Chat templates by name; empty where the model has none.
    pub(super) templates: Vec<(String, String)>,
    /// Such as `bos_token`, by the names that templates use.
    pub(super) special_tokens: BTreeMap<String, String>,
    pub(super) end_of_sequence: BTreeSet<u32>,
    /// A token to put before raw text where the tokenizer doesn't do so itself.
    pub(super) prefix: Option<u32>,
}

/// Reads the parts of a text model.
pub(super) fn parts(folder: &Path) -> Result<Parts, TextError> {
    let tokenizer = read_tokenizer(&folder.join("tokenizer.json"))?;
    let tokenizer_config = read_json(&folder.join("tokenizer_config.json"))?;
    let mut special_tokens = special_tokens(&read_json(&folder.join("special_tokens_map.json"))?);
    special_tokens.extend(self::special_tokens(&tokenizer_config));

    let mut end_of_sequence = BTreeSet::new();
    for file in ["config.json", "generation_config.json"] {
        let config = read_json(&folder.join(file))?;
        end_of_sequence.extend(ids(&config["eos_token_id"]));
        end_of_sequence.extend(ids(&config["text_config"]["eos_token_id"]));
    }
    end_of_sequence.extend(special_tokens.get("eos_token").and_then(|token| tokenizer.token_to_id(token)));
    let templates = chat_templates(folder, &tokenizer_config)?;
    Ok(Parts { tokenizer, templates, special_tokens, end_of_sequence, prefix: None })
}

fn read_tokenizer(file: &Path) -> Result<Tokenizer, TextError> {
    let broken = |reason: String| TextError::Broken { file: file.to_owned(), reason };
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let unchecked: Unchecked = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
    unchecked.check().map_err(broken)?;
    let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| broken(error.to_string()))?;
    // A tokenizer.json may ask for truncation or padding, for training: a prompt is read as it is.
    tokenizer.with_truncation(None).map_err(|error| broken(error.to_string()))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The parts of tokenizer.json that its crate takes on trust: it panics where they are wrong, as it does on a file that
/// is no JSON.
#[derive(Deserialize)]
struct Unchecked {
    #[serde(default)]
    model: Json,
    #[serde(default)]
    post_processor: Json,
}

impl Unchecked {
    fn check(&self) -> Result<(), String> {
        if let Some(piece) = unknown_piece(&self.post_processor) {
            return Err(format!("its post_processor adds {piece}, which it doesn't define"));
        }
        let prefix = self.model["continuing_subword_prefix"].as_str().map_or(0, str::len);
        let longest = self.model["vocab"].as_object().into_iter().flatten().map(|(token, _)| token.len()).max();
        let merged_length = |merge: &Json| {
            let (left, right) = match merge {
                Json::String(pair) => pair.split_once(' ')?,
                pair => (pair[0].as_str()?, pair[1].as_str()?),
            };
            Some(left.len() + right.len().checked_sub(prefix)?)
        };
        let mut merges = self.model["merges"].as_array().into_iter().flatten();
        match merges.find(|merge| merged_length(merge).is_none_or(|length| Some(length) > longest)) {
            Some(merge) => Err(format!("its merge {merge} makes no token of its vocabulary")),
            None => Ok(()),
        }
    }
}

/// A piece that a template of the post-processor puts around a text without saying which ids it has.
fn unknown_piece(post_processor: &Json) -> Option<&Json> {
    let nested = post_processor["processors"].as_array().into_iter().flatten();
    let pieces = post_processor["single"].as_array().into_iter().flatten();
    let is_known = |piece: &&Json| {
        let token = piece["SpecialToken"]["id"].as_str().unwrap_or_default();
        piece["Sequence"]["id"] == "A" || post_processor["special_tokens"].get(token).is_some()
    };
    let unknown = pieces.into_iter().find(|piece| !is_known(piece));
    unknown.or_else(|| nested.into_iter().find_map(unknown_piece))
}

/// The chat templates: from a file of their own, else from tokenizer_config.json, one or many by name.
fn chat_templates(folder: &Path, tokenizer_config: &Json) -> Result<Vec<(String, String)>, TextError> {
    let default = |source: &str| vec![("default".to_owned(), source.to_owned())];
    let file = folder.join("chat_template.jinja");
    match fs::read_to_string(&file) {
        Ok(source) => return Ok(default(&source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&file, &error)),
    }
    let own = read_json(&folder.join("chat_template.json"))?;
    let template = [&own["chat_template"], &tokenizer_config["chat_template"]].into_iter().find(|json| !json.is_null());
    Ok(match template {
        Some(Json::String(source)) => default(source),
        Some(Json::Array(named)) => {
            let text = |entry: &Json, key: &str| entry[key].as_str().map(str::to_owned);
            named.iter().filter_map(|entry| Some((text(entry, "name")?, text(entry, "template")?))).collect()
        }
        _ => Vec::new(),
    })
}

/// A JSON file, or null where there is none.
fn read_json(file: &Path) -> Result<Json, TextError> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| TextError::Broken { file: file.to_owned(), reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Json::Null),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// The entries named `…_token`: a text, or an object with the text in `content`.
fn special_tokens(config: &Json) -> BTreeMap<String, String> {
    let entries = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
    let text = |value: &Json| value.as_str().or(value["content"].as_str()).map(str::to_owned);
    entries.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// One id or a list of them.
fn ids(value: &Json) -> Vec<u32> {
    let many = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    many.iter().filter_map(Json::as_u64).filter_map(|id| u32::try_from(id).ok()).collect()
}

fn unreadable(file: &Path, error: &io::Error) -> TextError {
    TextError::Unreadable { file: file.to_owned(), reason: error.to_string() }
}
