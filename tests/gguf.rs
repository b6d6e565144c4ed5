//! A GGUF file's header is read and checked in full before MLX sees the file.

use llmeval::hub::HubError;
use llmeval::hub::gguf::{Gguf, GgufType, GgufValue};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TEXT: u32 = 8;
const LIST: u32 = 9;
const U32: u32 = 4;

/// Writes GGUF bytes by hand, so that every field can be made wrong.
struct Writer(Vec<u8>);

impl Writer {
    fn new(version: u32, tensors: u64, metadata: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(metadata)
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut writer = self.u64(text.len() as u64);
        writer.0.extend(text.as_bytes());
        writer
    }

    /// One tensor entry; `shape` in the file's order, innermost axis first.
    fn tensor(self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        let writer = self.text(name).u32(shape.len() as u32);
        shape.iter().fold(writer, |writer, axis| writer.u64(*axis)).u32(kind).u64(offset)
    }

    /// Pads to the start of the data and adds `bytes` of it.
    fn data(mut self, bytes: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + bytes, 0);
        self
    }

    fn open(&self) -> Result<Gguf, HubError> {
        let folder = TempDir::new().unwrap();
        Gguf::open(&write(&folder, &self.0))
    }

    fn error(&self) -> String {
        self.open().expect_err("the file should be refused").to_string()
    }
}

fn write(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf").join(name).join("model.gguf")
}

#[test]
fn metadata_and_tensors_of_a_real_file_are_read() {
    let gguf = Gguf::open(&fixture("llama-q4_0")).unwrap();
    assert_eq!(gguf.require("general.architecture", GgufValue::as_text).unwrap(), "llama");
    assert!(gguf.require("llama.block_count", GgufValue::as_unsigned).unwrap() > 0);
    let embedding = &gguf.tensors()["token_embd.weight"];
    let tokenizer = gguf.tokenizer().unwrap();
    assert_eq!(embedding.shape[0], tokenizer.tokens.len() as u64, "one row a token, outermost axis first");
    assert_eq!(tokenizer.model, "gpt2");
    assert!(!tokenizer.merges.is_empty());
    gguf.check_tensor_types().unwrap();
}

#[test]
fn both_versions_and_all_kinds_of_values_are_read() {
    for version in [2, 3] {
        let gguf = Writer::new(version, 1, 3)
            .text("name")
            .u32(TEXT)
            .text("tiny")
            .text("tokens")
            .u32(LIST)
            .u32(TEXT)
            .u64(2)
            .text("a")
            .text("b")
            .text("layers")
            .u32(U32)
            .u32(7)
            .tensor("w.weight", &[32, 2], 3, 0)
            .data(40)
            .open()
            .unwrap();
        assert_eq!(gguf.require("name", GgufValue::as_text).unwrap(), "tiny");
        assert_eq!(gguf.require("tokens", GgufValue::as_texts).unwrap(), ["a", "b"]);
        assert_eq!(gguf.require("layers", GgufValue::as_unsigned).unwrap(), 7);
        let tensor = &gguf.tensors()["w.weight"];
        assert_eq!((tensor.kind, tensor.shape.as_slice(), tensor.bytes()), (GgufType::Q4_1, [2, 32].as_slice(), 40));
    }
}

#[test]
fn a_key_that_lacks_or_has_another_type_is_named() {
    let gguf = Writer::new(3, 0, 1).text("layers").u32(U32).u32(7).open().unwrap();
    assert_eq!(gguf.find("heads", GgufValue::as_unsigned).unwrap(), None);
    let missing = gguf.require("heads", GgufValue::as_unsigned).unwrap_err().to_string();
    assert!(missing.contains("lacks heads"), "{missing}");
    let wrong = gguf.require("layers", GgufValue::as_text).unwrap_err().to_string();
    assert!(wrong.contains("layers") && wrong.contains("a whole number"), "{wrong}");
}

#[test]
fn a_type_that_nothing_unpacks_is_refused_naming_tensor_and_type() {
    let gguf = Writer::new(3, 1, 0).tensor("blk.0.ffn_up.weight", &[256, 1], 23, 0).data(136).open().unwrap();
    let error = gguf.check_tensor_types().unwrap_err().to_string();
    for part in ["model.gguf", "blk.0.ffn_up.weight", "IQ4_XS", "Q4_1", "Q8_0", "Q4_K"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn what_is_no_gguf_file_is_named() {
    let error = Writer(b"PK\x03\x04 something else".to_vec()).error();
    assert!(error.contains("model.gguf") && error.contains("doesn't begin with GGUF"), "{error}");
    let error = Writer::new(1, 0, 0).error();
    assert!(error.contains("version 1") && error.contains("2 and 3"), "{error}");
}

#[test]
fn counts_and_lengths_beyond_the_file_are_refused() {
    let too_many = Writer::new(3, u64::MAX, 0).error();
    assert!(too_many.contains("tensors"), "{too_many}");
    let long_text = Writer::new(3, 0, 1).u64(u64::MAX).error();
    assert!(long_text.contains("beyond its end"), "{long_text}");
    let long_list = Writer::new(3, 0, 1).text("list").u32(LIST).u32(0).u64(1 << 40).error();
    assert!(long_list.contains("metadata list"), "{long_list}");
}

#[test]
fn a_tensor_that_does_not_fit_is_refused() {
    let cases = [
        ("beyond the file's end", Writer::new(3, 1, 0).tensor("w", &[32, 2], 0, 0).data(255)),
        ("beyond the file's end", Writer::new(3, 1, 0).tensor("w", &[32], 0, u64::MAX - 31).data(128)),
        ("not at a multiple of 32", Writer::new(3, 1, 0).tensor("w", &[32], 0, 8).data(256)),
        ("impossible shape", Writer::new(3, 1, 0).tensor("w", &[1 << 40, 1 << 40], 0, 0).data(32)),
        ("impossible shape", Writer::new(3, 1, 0).tensor("w", &[0], 0, 0).data(32)),
        ("not a multiple of 32", Writer::new(3, 1, 0).tensor("w", &[33], 3, 0).data(64)),
        ("unknown type 77", Writer::new(3, 1, 0).tensor("w", &[32], 77, 0).data(64)),
        ("has 9 axes", Writer::new(3, 1, 0).tensor("w", &[1; 9], 0, 0).data(64)),
        ("comes twice", Writer::new(3, 2, 0).tensor("w", &[1], 0, 0).tensor("w", &[1], 0, 0).data(64)),
    ];
    for (words, writer) in cases {
        let error = writer.error();
        assert!(error.contains(words) && error.contains("the tensor w"), "{words} is not in: {error}");
    }
}

#[test]
fn an_alignment_that_mlx_ignores_is_refused() {
    let error = Writer::new(3, 0, 1).text("general.alignment").u32(U32).u32(64).error();
    assert!(error.contains("general.alignment 64"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = std::fs::read(fixture("qwen2-q4_1")).unwrap();
    let folder = TempDir::new().unwrap();
    let mut cuts: Vec<usize> = (0..64).collect();
    cuts.extend((1..40).map(|part| whole.len() * part / 40));
    cuts.push(whole.len() - 1);
    for cut in cuts {
        let error = Gguf::open(&write(&folder, &whole[..cut])).expect_err("a cut file should be refused").to_string();
        assert!(error.contains("model.gguf"), "{error}");
    }
}

#[test]
fn random_damage_never_panics() {
    let whole = std::fs::read(fixture("llama-q4_0")).unwrap();
    let folder = TempDir::new().unwrap();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    for _ in 0..400 {
        let mut bytes = whole.clone();
        // The first half of the rounds damages the fixed fields and first entries, where most checks are.
        let range = if next(2) == 0 { 256 } else { bytes.len() };
        for _ in 0..=next(4) {
            let place = next(range);
            bytes[place] ^= 1 << next(8);
        }
        if let Ok(gguf) = Gguf::open(&write(&folder, &bytes)) {
            let _ = (gguf.check_tensor_types(), gguf.tokenizer());
            assert!(gguf.tensors().values().all(|tensor| tensor.bytes() <= bytes.len() as u64));
        }
    }
}
