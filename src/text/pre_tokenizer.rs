//! The rules that split text before byte-level BPE, by the names that GGUF files give them.

use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a byte-level BPE model treats text before its merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    /// GPT-2's expression.
    Gpt2,
    /// GPT-2's expression, digits split singly first.
    SingleDigits,
    /// Words with up to three digits together. `whole_words`: a word that is a token needs no merges.
    Cl100k { whole_words: bool },
    /// As `Cl100k` with single digits, after Unicode's composition (NFC).
    Qwen2,
    /// Words split where small letters are followed by capitals, single digits.
    Tekken,
    /// As `Tekken` with up to three digits together and English contractions.
    O200k,
}

impl PreTokenizer {
    /// The names that are known, for error messages.
    pub(super) const SUPPORTED: &'static str =
        "gpt-2, smollm, starcoder, refact, command-r, llama-bpe, dbrx, smaug-bpe, qwen2, tekken, gpt-4o";

    /// The rule that `tokenizer.ggml.pre` names.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" | "gpt2" | "olmo" | "phi-2" | "mpt" | "granite-docling" => Self::Gpt2,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => Self::SingleDigits,
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => Self::Cl100k { whole_words: true },
            "dbrx" | "smaug-bpe" => Self::Cl100k { whole_words: false },
            "qwen2" | "deepseek-r1-qwen" => Self::Qwen2,
            "tekken" => Self::Tekken,
            "gpt-4o" => Self::O200k,
            _ => return None,
        })
    }

    /// Whether a word that is a token is taken whole, without merges.
    pub(super) fn takes_whole_words(self) -> bool {
        matches!(self, Self::Cl100k { whole_words: true } | Self::Tekken)
    }

    /// Whether such models expect the beginning-of-sequence token where the file doesn't say.
    pub(super) fn adds_bos(self) -> bool {
        self.takes_whole_words()
    }

    pub(super) fn normalizer(self) -> Option<NFC> {
        (self == Self::Qwen2).then_some(NFC)
    }

    pub(super) fn build(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let bytes = |use_regex| PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, use_regex));
        let expression = match self {
            Self::Gpt2 => return Ok(bytes(true)),
            Self::SingleDigits => {
                let digits = PreTokenizerWrapper::Digits(Digits::new(true));
                return Ok(PreTokenizerWrapper::Sequence(Sequence::new(vec![digits, bytes(true)])));
            }
            Self::Cl100k { .. } => CL100K,
            Self::Qwen2 => QWEN2,
            Self::Tekken => TEKKEN,
            Self::O200k => O200K,
        };
        let pattern = SplitPattern::Regex(expression.to_owned());
        let words = PreTokenizerWrapper::Split(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?);
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(vec![words, bytes(false)])))
    }
}
