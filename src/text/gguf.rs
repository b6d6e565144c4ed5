//! A tokenizer and its companions from a GGUF file's metadata.

use super::TextError;
use super::folder::Parts;
use super::pre_tokenizer::PreTokenizer;
use crate::protocol::GgufTokenizer;
use std::collections::{BTreeMap, BTreeSet};
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence as NormalizerSequence};
use tokenizers::{AddedToken, Tokenizer};

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// SentencePiece's stand-in for a space.
const SPACE: &str = "\u{2581}";

/// Control tokens that end an answer whatever the metadata says, by their names in the vocabulary.
const TURN_ENDS: [&str; 8] =
    ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "</s>"];

/// Builds the parts of a text model; `model` names it in errors.
pub(super) fn parts(model: &str, metadata: &GgufTokenizer) -> Result<Parts, TextError> {
    let broken = |reason: String| TextError::BrokenMetadata { model: model.to_owned(), reason };
    if metadata.tokens.is_empty() {
        return Err(broken("tokenizer.ggml.tokens is missing or empty".into()));
    }
    if !metadata.token_types.is_empty() && metadata.token_types.len() != metadata.tokens.len() {
        return Err(broken(format!(
            "tokenizer.ggml.token_type has {} values for {} tokens",
            metadata.token_types.len(),
            metadata.tokens.len()
        )));
    }
    let is_gemma = metadata.model == "llama" && metadata.architecture.starts_with("gemma");
    let gemma = is_gemma.then(|| gemma(metadata));
    let metadata = gemma.as_ref().unwrap_or(metadata);
    let (mut tokenizer, adds_bos) = match metadata.model.as_str() {
        "gpt2" => byte_level(model, metadata)?,
        "llama" if metadata.scores.len() != metadata.tokens.len() => {
            return Err(broken(format!(
                "tokenizer.ggml.scores has {} values for {} tokens",
                metadata.scores.len(),
                metadata.tokens.len()
            )));
        }
        "llama" => {
            sentence_piece(metadata).map(|tokenizer| (tokenizer, true)).map_err(|error| broken(error.to_string()))?
        }
        other => {
            return Err(TextError::Unsupported {
                model: model.to_owned(),
                field: "tokenizer.ggml.model".into(),
                value: other.to_owned(),
                supported: "gpt2, llama".into(),
            });
        }
    };
    let added = metadata.tokens.iter().zip(&metadata.token_types).filter_map(|(token, kind)| {
        let special = matches!(*kind, CONTROL | UNKNOWN);
        (special || *kind == USER_DEFINED).then(|| AddedToken::from(token.clone(), special).normalized(false))
    });
    tokenizer.add_tokens(added.collect::<Vec<_>>()).map_err(|error| broken(error.to_string()))?;

    let token = |id: Option<u32>| id.and_then(|id| metadata.tokens.get(id as usize)).cloned();
    let names = [
        ("bos_token", metadata.bos),
        ("eos_token", metadata.eos),
        ("unk_token", metadata.unknown),
        ("pad_token", metadata.padding),
    ];
    let special_tokens: BTreeMap<String, String> =
        names.into_iter().filter_map(|(name, id)| Some((name.to_owned(), token(id)?))).collect();
    let mut end_of_sequence: BTreeSet<u32> = [metadata.eos, metadata.eot, metadata.eom].into_iter().flatten().collect();
    let is_turn_end = |(token, kind): (&String, &i32)| *kind == CONTROL && TURN_ENDS.contains(&token.as_str());
    let by_name = metadata.tokens.iter().zip(&metadata.token_types).enumerate();
    end_of_sequence.extend(by_name.filter(|(_, pair)| is_turn_end(*pair)).map(|(id, _)| id as u32));

    let mut templates = metadata.named_chat_templates.clone();
    templates.extend(metadata.chat_template.iter().map(|template| ("default".to_owned(), template.clone())));
    Ok(Parts {
        tokenizer,
        templates,
        special_tokens,
        end_of_sequence,
        prefix: metadata.bos.filter(|_| metadata.add_bos.unwrap_or(adds_bos)),
    })
}

/// Byte-level BPE, and whether such models expect the beginning-of-sequence token.
fn byte_level(model: &str, metadata: &GgufTokenizer) -> Result<(Tokenizer, bool), TextError> {
    let broken = |reason: String| TextError::BrokenMetadata { model: model.to_owned(), reason };
    let name = metadata.pre.as_deref().unwrap_or("(missing)");
    let rule = PreTokenizer::named(name).ok_or_else(|| TextError::Unsupported {
        model: model.to_owned(),
        field: "tokenizer.ggml.pre".into(),
        value: name.to_owned(),
        supported: PreTokenizer::SUPPORTED.into(),
    })?;
    let vocabulary = vocabulary(metadata);
    let merges = metadata.merges.iter().map(|merge| {
        let parts = merge.split_once(' ').filter(|(left, right)| vocabulary.contains_key(&format!("{left}{right}")));
        let (left, right) =
            parts.ok_or_else(|| broken(format!("its merge {merge:?} makes no token of its vocabulary")))?;
        Ok((left.to_owned(), right.to_owned()))
    });
    let merges = merges.collect::<Result<Merges, TextError>>()?;
    let build = || -> tokenizers::Result<Tokenizer> {
        let bpe =
            BPE::builder().vocab_and_merges(vocabulary, merges).ignore_merges(rule.takes_whole_words()).build()?;
        let mut tokenizer = Tokenizer::new(bpe);
        tokenizer.with_normalizer(rule.normalizer())?;
        tokenizer.with_pre_tokenizer(Some(rule.build()?));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        Ok(tokenizer)
    };
    Ok((build().map_err(|error| broken(error.to_string()))?, rule.adds_bos()))
}

/// SentencePiece's BPE: a pair that makes a better token is merged first.
fn sentence_piece(metadata: &GgufTokenizer) -> tokenizers::Result<Tokenizer> {
    let vocabulary = vocabulary(metadata);
    let merges = merges_by_score(metadata, &vocabulary);
    let unknown = metadata.unknown.and_then(|id| metadata.tokens.get(id as usize));
    let mut builder = BPE::builder().vocab_and_merges(vocabulary, merges).fuse_unk(true).byte_fallback(true);
    if let Some(unknown) = unknown {
        builder = builder.unk_token(unknown.clone());
    }
    let mut tokenizer = Tokenizer::new(builder.build()?);
    let has_prefix = metadata.add_space_prefix.unwrap_or(true);
    let prepend = has_prefix.then(|| Prepend::new(SPACE.to_owned()).into());
    let replace = Replace::new(" ", SPACE)?.into();
    tokenizer.with_normalizer(Some(NormalizerSequence::new(prepend.into_iter().chain([replace]).collect())))?;
    let strip = has_prefix.then(|| Strip::new(' ', 1, 0).into());
    let decoders = [Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    tokenizer.with_decoder(Some(DecoderSequence::new(decoders.into_iter().chain(strip).collect())));
    Ok(tokenizer)
}

/// Gemma's files differ from other SentencePiece ones: runs of spaces are spelled as spaces, and tokens stand in the
/// order of their merges, which their scores don't follow.
fn gemma(metadata: &GgufTokenizer) -> GgufTokenizer {
    let mut gemma = metadata.clone();
    gemma.scores = (0..gemma.tokens.len()).map(|index| -(index as f32)).collect();
    for (token, kind) in gemma.tokens.iter_mut().zip(&mut gemma.token_types) {
        if !token.is_empty() && token.bytes().all(|byte| byte == b' ') {
            *token = SPACE.repeat(token.len());
            *kind = NORMAL;
        }
    }
    gemma
}

/// Every way to make a normal token of two others, those of the best score first, long parts before short ones.
fn merges_by_score(metadata: &GgufTokenizer, vocabulary: &Vocab) -> Merges {
    let kinds = metadata.token_types.iter().copied().chain(std::iter::repeat(NORMAL));
    let scored = metadata.tokens.iter().zip(&metadata.scores).zip(kinds).filter(|(_, kind)| *kind == NORMAL);
    let mut merges = Vec::new();
    for ((token, score), _) in scored {
        let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let pairs = cuts.filter_map(|(left, right)| {
            let ids = (*vocabulary.get(left)?, *vocabulary.get(right)?);
            let length = |part: &str| part.chars().count();
            Some((*score, (length(left), length(right)), ids, (left.to_owned(), right.to_owned())))
        });
        merges.extend(pairs);
    }
    merges.sort_by(|left, right| right.0.total_cmp(&left.0).then(right.1.cmp(&left.1)).then(left.2.cmp(&right.2)));
    merges.into_iter().map(|(.., pair)| pair).collect()
}

fn vocabulary(metadata: &GgufTokenizer) -> Vocab {
    metadata.tokens.iter().cloned().zip(0..).collect()
}
