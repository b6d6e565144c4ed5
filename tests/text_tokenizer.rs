//! Tokenizers give the ids that Python gives, from a folder and from GGUF metadata, and say what is wrong with a bad one.

use llmeval::hub::gguf::Gguf;
use llmeval::hub::starter_path;
use llmeval::protocol::GgufTokenizer;
use llmeval::text::{Chat, TextError, TextModel};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Written by tests/fixtures/text/make_tokenizers.py.
#[derive(Deserialize)]
struct Fixture {
    #[serde(flatten)]
    metadata: GgufTokenizer,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn fixture(name: &str) -> Fixture {
    let path = PathBuf::from("tests/fixtures/text").join(name).with_extension("json");
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()
}

fn assert_same_ids(name: &str) {
    let fixture = fixture(name);
    let model = TextModel::from_gguf(name, &GgufTokenizer { add_bos: Some(false), ..fixture.metadata }).unwrap();
    for Case { text, ids } in fixture.cases {
        assert_eq!(model.encode_raw(&text).unwrap(), ids, "{name}: {text:?}");
    }
}

#[test]
fn byte_level_bpe_equals_python_for_every_pre_tokenizer() {
    for name in ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o"] {
        assert_same_ids(name);
    }
}

#[test]
fn sentence_piece_bpe_equals_python() {
    assert_same_ids("llama-without-space-prefix");
    assert_same_ids("llama");
    assert_same_ids("gemma");
}

#[test]
fn decoding_gives_the_text_back() {
    for name in ["gpt-2", "smollm", "llama-bpe", "tekken", "gpt-4o", "llama", "llama-without-space-prefix"] {
        let fixture = fixture(name);
        let model = TextModel::from_gguf(name, &GgufTokenizer { add_bos: Some(false), ..fixture.metadata }).unwrap();
        for Case { text, ids } in fixture.cases {
            let shown = text.replace("<|im_start|>", "").replace("<|im_end|>", "");
            let expected = if name.starts_with("llama-w") || name == "llama" { &text } else { &shown };
            assert_eq!(&model.decode(&ids), expected, "{name}");
        }
    }
}

#[test]
fn the_starter_model_gives_pythons_ids() {
    let path = starter_path().unwrap();
    let metadata = Gguf::open(&path).unwrap().tokenizer().unwrap();
    let model = TextModel::from_gguf("starter", &metadata).unwrap();
    for Case { text, ids } in fixture("starter").cases {
        assert_eq!(model.encode_raw(&text).unwrap(), ids, "{text:?}");
    }
    assert_eq!(*model.end_of_sequence(), [0, 2], "<|endoftext|> and <|im_end|>");
    let prompt = model.encode_chat(&Chat::question(Some("Be brief."), "Count to 42")).unwrap();
    assert_eq!(prompt, model.encode_raw("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nCount to 42<|im_end|>\n<|im_start|>assistant\n").unwrap());
}

/// A small folder in the mlx-community layout, with changes to its tokenizer.json.
fn folder(change: impl FnOnce(&mut Json)) -> TempDir {
    let folder = TempDir::new().unwrap();
    let file = "tests/fixtures/models/llama-tied-f32/tokenizer.json";
    let mut tokenizer: Json = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut tokenizer);
    write(&folder, "tokenizer.json", &tokenizer.to_string());
    folder
}

fn write(folder: &TempDir, file: &str, text: &str) {
    fs::write(folder.path().join(file), text).unwrap();
}

#[test]
fn end_of_sequence_ids_of_all_files_come_together() {
    let folder = folder(|_| ());
    write(&folder, "config.json", r#"{"eos_token_id": 7}"#);
    write(&folder, "generation_config.json", r#"{"eos_token_id": [8, 0]}"#);
    write(&folder, "tokenizer_config.json", r#"{"eos_token": {"content": "<|im_end|>"}}"#);
    let model = TextModel::from_folder(folder.path()).unwrap();
    assert_eq!(*model.end_of_sequence(), [0, 2, 7, 8]);
    let further = ["</think>".to_owned(), "<no such token>".to_owned()];
    assert_eq!(*model.with_stop_tokens(&further).end_of_sequence(), [0, 2, 7, 8, 319]);
}

#[test]
fn the_beginning_of_sequence_token_is_never_doubled() {
    let folder = folder(|tokenizer| {
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
        });
    });
    write(&folder, "tokenizer_config.json", r#"{"bos_token": "<|endoftext|>"}"#);
    write(&folder, "chat_template.jinja", "{{ bos_token }}{{ messages[0].content }}");
    let model = TextModel::from_folder(folder.path()).unwrap();
    let begins = |ids: Vec<u32>| ids.iter().filter(|id| **id == 0).count();
    assert_eq!(begins(model.encode_raw("text").unwrap()), 1);
    assert_eq!(begins(model.encode_raw("<|endoftext|>text").unwrap()), 1);
    assert_eq!(begins(model.encode_chat(&Chat::question(None, "text")).unwrap()), 1);
}

#[test]
fn a_gguf_file_says_whether_text_begins_with_a_token() {
    for (add_bos, expected) in [(Some(true), 1), (Some(false), 0), (None, 0)] {
        let metadata = GgufTokenizer { add_bos, bos: Some(0), ..fixture("smollm").metadata };
        let ids = TextModel::from_gguf("m", &metadata).unwrap().encode_raw("text").unwrap();
        assert_eq!(ids.iter().filter(|id| **id == 0).count(), expected);
    }
}

#[test]
fn a_long_prompt_is_never_cut_or_filled_up() {
    let folder = folder(|tokenizer| {
        tokenizer["truncation"] =
            json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
        tokenizer["padding"] = json!({"strategy": {"Fixed": 4096}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    });
    let text = "12345".repeat(100);
    let ids = TextModel::from_folder(folder.path()).unwrap().encode_raw(&text).unwrap();
    assert_eq!(ids.len(), 500);
}

#[test]
fn the_chat_template_is_found_in_each_of_its_places() {
    let config = json!({"chat_template": "config {{ messages[0].content }}"}).to_string();
    let named = json!({"chat_template": [{"name": "default", "template": "named {{ messages[0].content }}"},
        {"name": "tool_use", "template": "tools"}]})
    .to_string();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "hi"),
        (&[("tokenizer_config.json", &config)], "config hi"),
        (&[("tokenizer_config.json", &named)], "named hi"),
        (&[("tokenizer_config.json", &config), ("chat_template.json", r#"{"chat_template": "own"}"#)], "own"),
        (&[("tokenizer_config.json", &config), ("chat_template.jinja", "jinja")], "jinja"),
    ];
    for (files, expected) in cases {
        let folder = folder(|_| ());
        files.iter().for_each(|(file, text)| write(&folder, file, text));
        let model = TextModel::from_folder(folder.path()).unwrap();
        let ids = model.encode_chat(&Chat::question(None, "hi")).unwrap();
        assert_eq!(model.decode(&ids), expected);
        assert_eq!(model.chat_template().is_some(), !files.is_empty());
    }
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let missing = TempDir::new().unwrap();
    let error = TextModel::from_folder(missing.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json can't be read"), "{error}");
    let whole = fs::read_to_string("tests/fixtures/models/llama-tied-f32/tokenizer.json").unwrap();
    let texts =
        ["", "{", "[]", "{\"decoder\": {\"type\": \"ByteLevel\"", &whole[..whole.len() / 2], "{\"decoder\": 3}"];
    for text in texts {
        let folder = TempDir::new().unwrap();
        write(&folder, "tokenizer.json", text);
        let error = TextModel::from_folder(folder.path()).unwrap_err();
        assert!(matches!(&error, TextError::Broken { file, .. } if file.ends_with("tokenizer.json")), "{error}");
    }
    for file in ["config.json", "generation_config.json", "tokenizer_config.json", "chat_template.json"] {
        let folder = folder(|_| ());
        write(&folder, file, "{");
        let error = TextModel::from_folder(folder.path()).unwrap_err();
        assert!(matches!(&error, TextError::Broken { file: named, .. } if named.ends_with(file)), "{error}");
    }
}

#[test]
fn a_merge_that_makes_no_token_is_refused() {
    for merge in [json!(["x".repeat(1000), "y"]), json!("noparts"), json!(3)] {
        let folder = folder(|tokenizer| {
            tokenizer["model"]["vocab"]["y"] = json!(77);
            tokenizer["model"]["merges"][0] = merge.clone();
        });
        let error = TextModel::from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json is broken: its merge"), "{error}");
    }
}

#[test]
fn a_vocabulary_with_gaps_is_read_and_an_absurd_id_does_no_harm() {
    let folder = folder(|tokenizer| {
        tokenizer["model"]["vocab"]["far"] = json!(5000);
        tokenizer["model"]["vocab"]["absurd"] = json!(u32::MAX);
    });
    let model = TextModel::from_folder(folder.path()).unwrap();
    assert_eq!(model.decode(&[4999, 5000, u32::MAX]), "far");
}

#[test]
fn a_post_processor_that_adds_an_undefined_token_is_refused() {
    let folder = folder(|tokenizer| {
        let template = json!({"type": "TemplateProcessing", "special_tokens": {}, "pair": [],
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
        tokenizer["post_processor"] = json!({"type": "Sequence", "processors": [template]});
    });
    let error = TextModel::from_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json is broken: its post_processor adds"), "{error}");
}

#[test]
fn a_gguf_tokenizer_that_is_not_supported_names_the_field() {
    let metadata = fixture("smollm").metadata;
    let cases = [
        (GgufTokenizer { pre: Some("future".into()), ..metadata.clone() }, "tokenizer.ggml.pre = future"),
        (GgufTokenizer { pre: None, ..metadata.clone() }, "tokenizer.ggml.pre = (missing)"),
        (GgufTokenizer { model: "t5".into(), ..metadata.clone() }, "tokenizer.ggml.model = t5"),
        (GgufTokenizer { tokens: Vec::new(), ..metadata.clone() }, "tokenizer.ggml.tokens is missing"),
        (GgufTokenizer { token_types: vec![1], ..metadata.clone() }, "tokenizer.ggml.token_type has 1 values"),
        (GgufTokenizer { scores: Vec::new(), ..fixture("llama").metadata }, "tokenizer.ggml.scores has 0 values"),
        (GgufTokenizer { merges: vec!["ab".into()], ..metadata.clone() }, "its merge \"ab\" makes no token"),
        (GgufTokenizer { merges: vec!["zz yy".into()], ..metadata.clone() }, "its merge \"zz yy\" makes no token"),
        (GgufTokenizer { chat_template: Some("{% if".into()), ..metadata }, "chat template of m is broken"),
    ];
    for (metadata, expected) in cases {
        let error = TextModel::from_gguf("m", &metadata).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_empty_prompt_is_refused() {
    let model = TextModel::from_gguf("m", &fixture("smollm").metadata).unwrap();
    assert!(matches!(model.encode_raw(""), Err(TextError::EmptyPrompt)));
    for prompt in ["", " \n"] {
        assert!(matches!(model.encode_chat(&Chat::question(Some("s"), prompt)), Err(TextError::EmptyPrompt)));
    }
}

#[test]
fn a_text_model_is_shared_by_threads() {
    fn assert_shared<T: Send + Sync + 'static>() {}
    assert_shared::<TextModel>();
}
