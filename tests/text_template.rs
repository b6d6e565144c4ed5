//! Chat templates render as Python's transformers does, and what they refuse is said in words.

use chrono::NaiveDate;
use llmeval::text::{Chat, ChatTemplate, Message, TextError};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn render(template: &str, chat: &Chat) -> Result<String, TextError> {
    let now = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap().and_hms_opt(3, 4, 5).unwrap();
    let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
    ChatTemplate::new("owner/model", &[("default".into(), template.into())], tokens)?.render_at(chat, now, true)
}

fn question() -> Chat {
    Chat::question(None, "hi")
}

#[test]
fn values_are_written_as_python_writes_them() {
    let cases = [
        ("{{ none }} {{ true }} {{ false }} {{ missing }}.", "None True False ."),
        ("{{ 1.0 }} {{ 1e16 }} {{ 0.00001 }} {{ 3 }}", "1.0 1e+16 1e-05 3"),
        ("{{ ['a', \"it's\", none, 1.5] }} {{ {'k': true} }}", "['a', \"it's\", None, 1.5] {'k': True}"),
        ("{{ {'a': [1, 2.0], 'ü': '<b>\"\\n'} | tojson }}", r#"{"a": [1, 2.0], "ü": "<b>\"\n"}"#),
        ("{{ {'b': 1, 'a': []} | tojson(indent=2) }}", "{\n  \"b\": 1,\n  \"a\": []\n}"),
        ("{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}", r#"{"a":2,"b":1}"#),
        ("{{ 'é' | tojson(ensure_ascii=true) }}", r#""\u00e9""#),
        ("{{ strftime_now('%d %b %Y %H:%M') }}", "02 Jan 2026 03:04"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template, &question()).unwrap(), expected, "{template}");
    }
}

#[test]
fn python_methods_loop_controls_and_namespaces_work() {
    let cases = [
        ("{{ ' a '.strip() }}{{ 'x</t>y'.split('</t>')[-1] }}{{ messages[0].get('content') }}", "ayhi"),
        (
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "023",
        ),
        ("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "3"),
        ("{%- if documents is none and tools is none and add_generation_prompt %}{{ bos_token }}{% endif %}", "<s>"),
        ("a\n  {% if true %}\nb\n  {% endif %}\n", "a\nb\n"),
        ("{% for m in messages %}{% generation %}{{ m['content'] }}{%- endgeneration -%} {% endfor %}", "hi"),
        ("{{ messages[::-1][0].role }}{{ messages | length }}", "user1"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template, &question()).unwrap(), expected, "{template}");
    }
}

#[test]
fn what_a_template_raises_reaches_a_person_in_its_own_words() {
    let error = render("{{ raise_exception('System role not supported') }}", &question()).unwrap_err();
    assert!(matches!(error, TextError::TemplateRaised { .. }));
    assert_eq!(
        error.to_string(),
        "the chat template of owner/model refuses this conversation: System role not supported"
    );
}

#[test]
fn a_template_that_raises_inside_a_macro_is_told_apart_from_one_that_fails() {
    let raised = render("{% macro m() %}{{ raise_exception('no') }}{% endmacro %}\n{{ m() }}", &question());
    assert!(matches!(raised, Err(TextError::TemplateRaised { message, .. }) if message == "no"));
    let failed = render("\n{{ missing.attribute }}", &question()).unwrap_err();
    assert!(matches!(failed, TextError::TemplateFailed { line: Some(2), .. }), "{failed}");
}

#[test]
fn a_broken_template_names_the_model_and_the_line() {
    let error = render("line\n{% if %}", &question()).unwrap_err().to_string();
    assert!(error.starts_with("the chat template of owner/model is broken at line 2"), "{error}");
}

#[test]
fn an_unknown_time_format_is_an_error_and_no_panic() {
    assert!(matches!(render("{{ strftime_now('%Q') }}", &question()), Err(TextError::TemplateFailed { .. })));
}

#[test]
fn the_thinking_switch_is_given_only_where_it_is_set() {
    let template = "{{ enable_thinking is defined }}{{ enable_thinking }}";
    assert_eq!(render(template, &question()).unwrap(), "False");
    let thinking = Chat { thinking: Some(true), ..question() };
    assert_eq!(render(template, &thinking).unwrap(), "TrueTrue");
}

#[test]
fn a_template_of_its_own_for_tools_is_used_with_tools() {
    let templates =
        [("default".to_owned(), "plain".to_owned()), ("tool_use".to_owned(), "{{ tools | length }}".to_owned())];
    let template = ChatTemplate::new("m", &templates, BTreeMap::new()).unwrap();
    assert_eq!(template.render(&question()).unwrap(), "plain");
    let tools = Chat { tools: vec![serde_json::json!({"type": "function"})], ..question() };
    assert_eq!(template.render(&tools).unwrap(), "1");
    assert!(template.can_use_tools() && !template.can_think());
}

/// What Python's transformers made of one conversation, written by tests/fixtures/chat/render.py.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Text(String),
    Raises(String),
    Fails(bool),
}

#[derive(Deserialize)]
struct Expected {
    special_tokens: BTreeMap<String, String>,
    cases: BTreeMap<String, Outcome>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Json>,
    thinking: Option<bool>,
    add_generation_prompt: Option<bool>,
}

#[test]
fn real_templates_render_as_in_transformers() {
    let folder = Path::new("tests/fixtures/chat");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let cases: BTreeMap<String, Case> = serde_json::from_str(&read(&folder.join("cases.json"))).unwrap();
    let now = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap().and_hms_opt(3, 4, 5).unwrap();
    let mut families = 0;
    for entry in fs::read_dir(folder.join("expected")).unwrap() {
        let path = entry.unwrap().path();
        let family = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let expected: Expected = serde_json::from_str(&read(&path)).unwrap();
        let source = read(&folder.join("templates").join(format!("{family}.jinja")));
        let template = ChatTemplate::new(&family, &[("default".into(), source)], expected.special_tokens).unwrap();
        for (name, outcome) in &expected.cases {
            let case = &cases[name];
            let chat = Chat { messages: case.messages.clone(), tools: case.tools.clone(), thinking: case.thinking };
            let ours = match template.render_at(&chat, now, case.add_generation_prompt.unwrap_or(true)) {
                Ok(text) => Outcome::Text(text),
                Err(TextError::TemplateRaised { message, .. }) => Outcome::Raises(message),
                Err(TextError::TemplateFailed { .. }) => Outcome::Fails(true),
                Err(other) => panic!("{family}, {name}: {other}"),
            };
            assert_eq!(&ours, outcome, "{family}, {name}");
        }
        families += 1;
    }
    assert_eq!(families, 12);
}

#[test]
fn switches_of_real_templates_are_recognised() {
    let switches = |family: &str| {
        let source = fs::read_to_string(format!("tests/fixtures/chat/templates/{family}.jinja")).unwrap();
        let template = ChatTemplate::new(family, &[("default".into(), source)], BTreeMap::new()).unwrap();
        (template.can_think(), template.can_use_tools())
    };
    for family in ["qwen3", "granite-3.3", "gemma-4"] {
        assert_eq!(switches(family), (true, true), "{family}");
    }
    for family in ["qwen2.5", "llama-3.2", "mistral-nemo", "granite-4.0"] {
        assert_eq!(switches(family), (false, true), "{family}");
    }
    for family in ["smollm3", "deepseek-r1"] {
        assert_eq!(switches(family), (true, false), "{family}");
    }
    for family in ["phi-3.5", "gemma-2", "smollm2"] {
        assert_eq!(switches(family), (false, false), "{family}");
    }
}

#[test]
fn tools_reach_a_template_that_calls_them_xml_tools() {
    let template = "{% if xml_tools or python_tools %}{{ xml_tools | length }}{% endif %}";
    let tools = Chat { tools: vec![serde_json::json!({"type": "function"})], ..question() };
    assert_eq!(render(template, &tools).unwrap(), "1");
    assert!(ChatTemplate::new("m", &[("default".into(), template.into())], BTreeMap::new()).unwrap().can_use_tools());
}
