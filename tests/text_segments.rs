//! Answers are split into words, thoughts and tool calls by each family's own markers, however the text is cut.

use llmeval::protocol::{GgufTokenizer, Segment};
use llmeval::text::{Chat, Segmenter, TextModel};
use serde_json::json;
use std::fs;

/// A model that has `template` and these tokens beside the printable ones.
fn model(template: &str, tokens: &[&str]) -> TextModel {
    let letters = ('!'..='~').map(String::from).chain(["Ġ".to_owned(), "Ċ".to_owned()]);
    let all: Vec<String> = letters.chain(tokens.iter().map(|token| (*token).to_owned())).collect();
    let token_types = (0..all.len()).map(|id| if id < all.len() - tokens.len() { 1 } else { 3 }).collect();
    let metadata = GgufTokenizer {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens: all,
        token_types,
        chat_template: Some(template.to_owned()),
        eos: Some(0),
        ..GgufTokenizer::default()
    };
    TextModel::from_gguf("m", &metadata).unwrap()
}

fn family(name: &str) -> String {
    fs::read_to_string(format!("tests/fixtures/chat/templates/{name}.jinja")).unwrap()
}

fn chat(with_tools: bool) -> Chat {
    let tools = if with_tools { vec![json!({"type": "function", "function": {"name": "f"}})] } else { Vec::new() };
    Chat { tools, ..Chat::question(None, "hi") }
}

fn text(text: &str) -> Segment {
    Segment::Text { text: text.into() }
}

fn thinking(text: &str) -> Segment {
    Segment::Thinking { text: text.into() }
}

fn call(name: &str, arguments: serde_json::Value) -> Segment {
    Segment::ToolCall { name: name.into(), arguments: arguments.to_string() }
}

/// Pieces of the same kind, joined.
fn joined(segments: Vec<Segment>) -> Vec<Segment> {
    segments.into_iter().fold(Vec::new(), |mut all, segment| {
        match (all.last_mut(), segment) {
            (Some(Segment::Text { text }), Segment::Text { text: more })
            | (Some(Segment::Thinking { text }), Segment::Thinking { text: more }) => text.push_str(&more),
            (_, segment) => all.push(segment),
        }
        all
    })
}

/// Splits `answer`, and asserts that every way to cut it in two and every letter by itself give the same.
fn split(start: impl Fn() -> Segmenter, answer: &str) -> Vec<Segment> {
    let read = |pieces: &[&str]| {
        let mut segmenter = start();
        let mut segments: Vec<Segment> = pieces.iter().flat_map(|piece| segmenter.push(piece)).collect();
        segments.extend(segmenter.finish());
        joined(segments)
    };
    let whole = read(&[answer]);
    for (at, _) in answer.char_indices() {
        assert_eq!(read(&[&answer[..at], &answer[at..]]), whole, "cut at {at} of {answer:?}");
    }
    let letters: Vec<&str> = answer.split_inclusive(|_| true).collect();
    assert_eq!(read(&letters), whole, "letter by letter: {answer:?}");
    whole
}

fn split_as(template: &str, tokens: &[&str], answer: &str) -> Vec<Segment> {
    let model = model(template, tokens);
    split(|| model.segmenter(&chat(true)), answer)
}

#[test]
fn text_without_markers_comes_out_unchanged() {
    let answer = "  Hello <world>,\n\n a < b & <thin|> [TOOL] {\"name\": 1} \n";
    for name in ["qwen3", "mistral-nemo", "granite-3.3", "gemma-4", "smollm2"] {
        assert_eq!(split_as(&family(name), &[], answer), [text(answer)], "{name}");
    }
    assert_eq!(
        split_as("", &[], "<think>no marker of this model</think>"),
        [text("<think>no marker of this model</think>")]
    );
}

#[test]
fn qwen_thinks_and_calls_tools_in_tags() {
    let answer = "<think>\nHm, <b>\n\nso.\n</think>\n\nLet me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"ü\"}}\n\
                  </tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": \"{\\\"b\\\": 1}\"}\n</tool_call>";
    let expected =
        [thinking("Hm, <b>\n\nso."), text("Let me look."), call("f", json!({"a": "ü"})), call("g", json!({"b": 1}))];
    assert_eq!(split_as(&family("qwen3"), &[], answer), expected);
}

#[test]
fn an_empty_thought_is_not_shown() {
    assert_eq!(split_as(&family("qwen3"), &[], "<think>\n\n</think>\n\nYes."), [text("Yes.")]);
}

#[test]
fn an_answer_that_the_template_begins_inside_a_thought_starts_with_it() {
    let template = "{{ messages[0].content }}<think>\n{# </think> #}";
    assert_eq!(split_as(template, &[], "so\n</think>\n\nYes."), [thinking("so"), text("Yes.")]);
    let off = family("qwen3");
    let model = model(&off, &[]);
    let without = Chat { thinking: Some(false), ..chat(false) };
    assert_eq!(split(|| model.segmenter(&without), "Yes."), [text("Yes.")]);
}

#[test]
fn deepseek_answers_begin_inside_the_thought_that_its_template_opens() {
    let model = model(&family("deepseek-r1"), &[]);
    let answer = "Hm.\n</think>\n\nYes.";
    let thinks = Chat { thinking: Some(true), ..chat(false) };
    assert_eq!(split(|| model.segmenter(&thinks), answer), [thinking("Hm."), text("Yes.")]);
    let answers = Chat { thinking: Some(false), ..chat(false) };
    assert_eq!(split(|| model.segmenter(&answers), "Yes."), [text("Yes.")]);
}

#[test]
fn smollm3_thinks_in_tags() {
    let answer = "<think>\nHm.\n</think>\nYes.";
    assert_eq!(split_as(&family("smollm3"), &[], answer), [thinking("Hm."), text("Yes.")]);
}

#[test]
fn a_thought_that_never_ends_is_a_thought() {
    assert_eq!(split_as(&family("qwen3"), &[], "<think>\nand on "), [thinking("and on ")]);
}

#[test]
fn llama_calls_tools_by_json_alone_or_after_its_tag() {
    let tokens = ["<|python_tag|>"];
    let template = family("llama-3.2");
    let bare = "\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}";
    assert_eq!(split_as(&template, &tokens, bare), [call("f", json!({"a": 1}))]);
    let several = "{\"name\": \"f\", \"parameters\": {}}; {\"type\": \"function\", \"name\": \"g\", \"parameters\": {\"b\": [2]}}";
    assert_eq!(split_as(&template, &tokens, several), [call("f", json!({})), call("g", json!({"b": [2]}))]);
    let tagged = "Sure. <|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": null}}";
    assert_eq!(split_as(&template, &tokens, tagged), [text("Sure."), call("f", json!({"a": null}))]);
    let built_in = "<|python_tag|>brave_search.call(query=\"who's there?\", count=2)";
    let expected = [call("brave_search.call", json!({"query": "who's there?", "count": 2}))];
    assert_eq!(split_as(&template, &tokens, built_in), expected);
    let own = "<function=f>{\"a\": 1}</function>";
    assert_eq!(split_as(&(template.clone() + "{# <function= #}"), &tokens, own), [call("f", json!({"a": 1}))]);
}

#[test]
fn json_that_is_no_call_is_text() {
    let tokens = ["<|python_tag|>"];
    let template = family("llama-3.2");
    let answers =
        ["{\"answer\": 42}", "{\"name\": \"Ann\", \"age\": 3}  ", "{\"name\": ", "{", "{\"name\": \"f\"} and more"];
    for answer in answers {
        assert_eq!(split_as(&template, &tokens, answer), [text(answer)]);
    }
    let model = model(&template, &tokens);
    let call = "{\"name\": \"f\", \"parameters\": {}}";
    assert_eq!(split(|| model.segmenter(&chat(false)), call), [text(call)], "no tools were offered");
}

#[test]
fn mistral_calls_tools_in_both_of_its_ways() {
    let template = family("mistral-nemo");
    let list = "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"123456789\"}, {\"name\": \"g\", \"arguments\": {}}]";
    assert_eq!(split_as(&template, &[], list), [call("f", json!({"a": 1})), call("g", json!({}))]);
    let named = "Now. [TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]123456789[ARGS]{}";
    assert_eq!(split_as(&template, &[], named), [text("Now."), call("f", json!({"a": 1})), call("g", json!({}))]);
    let thought = "[THINK]so[/THINK]Yes.";
    assert_eq!(split_as(&template, &["[THINK]", "[/THINK]"], thought), [thinking("so"), text("Yes.")]);
}

#[test]
fn granite_thinks_and_answers_in_tags() {
    let template = family("granite-3.3");
    let answer = "<think>so</think>\n<response>\nYes.\n</response>";
    assert_eq!(split_as(&template, &[], answer), [thinking("so"), text("Yes.")]);
    let called = "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]";
    assert_eq!(split_as(&template, &["<|tool_call|>"], called), [call("f", json!({"a": 1}))]);
    let older = "Here is my thought process: so. Here is my response: Yes.";
    let template = "Here is my thought process: Here is my response:";
    assert_eq!(split_as(template, &[], older), [thinking("so."), text("Yes.")]);
    let newer = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    assert_eq!(split_as(&family("granite-4.0"), &[], newer), [call("f", json!({}))]);
}

#[test]
fn phi_smollm_gemma_and_lfm_call_tools_in_their_ways() {
    let phi = "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]<|/tool_call|> done";
    assert_eq!(split_as("", &["<|tool_call|>", "<|/tool_call|>"], phi), [call("f", json!({"a": 1})), text("done")]);
    let smollm = "<tool_call>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]</tool_call>";
    assert_eq!(split_as("<tool_call>", &[], smollm), [call("f", json!({"a": 1}))]);
    let tags = "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\ntwo\nlines\n</parameter>\n</function>\n</tool_call>";
    assert_eq!(split_as("<tool_call>", &[], tags), [call("f", json!({"a": 1, "b": "two\nlines"}))]);
    let function_gemma =
        "<start_function_call>call:f{place:<escape>Zürich, {CH}<escape>,days:2,deep:{on:true}}<end_function_call>";
    let expected = [call("f", json!({"place": "Zürich, {CH}", "days": 2, "deep": {"on": true}}))];
    assert_eq!(split_as("", &["<start_function_call>", "<end_function_call>"], function_gemma), expected);
    let gemma =
        "<|channel>thought\nso\n<channel|><|tool_call>call:f{a:<|\"|>b<|\"|>,list:[1,<|\"|>x<|\"|>]}<tool_call|>";
    let expected = [thinking("so"), call("f", json!({"a": "b", "list": [1, "x"]}))];
    assert_eq!(split_as(&family("gemma-4"), &[], gemma), expected);
    let lfm = "<|tool_call_start|>[f(a='b\\'s', c=[1, 2.5, None], d={'k': True}), g()]<|tool_call_end|>Wait.";
    let expected =
        [call("f", json!({"a": "b's", "c": [1, 2.5, null], "d": {"k": true}})), call("g", json!({})), text("Wait.")];
    assert_eq!(split_as("", &["<|tool_call_start|>", "<|tool_call_end|>"], lfm), expected);
}

#[test]
fn a_call_that_makes_no_sense_is_shown_as_it_came() {
    let template = family("qwen3");
    let deep = format!("<tool_call>f(a={})</tool_call>", "[".repeat(100_000));
    let answers = [
        "Look: <tool_call>\nnot a call\n</tool_call> ok",
        "a\n<tool_call>{\"name\": \"f\", \"arg",
        "<tool_call></tool_call>",
        "<tool_call>[]</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call>",
        "<tool_call>f(</tool_call>",
        "<tool_call>call:f{a:{b}</tool_call>",
        "<tool_call><function=f</tool_call>",
    ];
    for answer in answers {
        assert_eq!(split_as(&template, &[], answer), [text(answer)]);
    }
    let mut segmenter = model(&template, &[]).segmenter(&chat(true));
    assert_eq!(segmenter.push(&deep), [text(&deep)]);
}

#[test]
fn markers_that_are_special_tokens_stay_in_the_text() {
    let model = model(&family("mistral-nemo"), &["[TOOL_CALLS]", "<|end|>"]);
    let id = |text: &str| *model.encode_raw(text).unwrap().first().unwrap();
    assert_eq!(model.decode(&[id("[TOOL_CALLS]"), id("f"), id("<|end|>")]), "[TOOL_CALLS]f");
}

#[test]
fn an_answer_and_its_tools_results_become_the_next_prompt() {
    let segments = [thinking("so"), text("Let me look."), call("f", json!({"a": 1})), call("g", json!({}))];
    let mut chat = chat(true);
    let calls = chat.push_answer(&segments);
    assert_eq!(calls.iter().map(|call| call.function.name.as_str()).collect::<Vec<_>>(), ["f", "g"]);
    calls.iter().for_each(|call| chat.push_tool_result(call, format!("{} gave this", call.function.name)));
    for (name, called) in [
        (
            "qwen3",
            "<think>\nso\n</think>\n\nLet me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>",
        ),
        ("qwen2.5", "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"),
        (
            "mistral-nemo",
            "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"call00000\"}, {\"name\": \"g\"",
        ),
        ("granite-4.0", "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"),
    ] {
        let prompt = model(&family(name), &[]).chat_template().unwrap().render(&chat).unwrap();
        assert!(prompt.contains(called), "{name}: {prompt}");
        assert!(prompt.contains("f gave this") && prompt.contains("g gave this"), "{name}: {prompt}");
    }
}
