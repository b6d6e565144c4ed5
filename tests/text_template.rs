//! Chat templates render as Python's transformers does, and what they refuse is said in words.

use chrono::NaiveDate;
use llmeval::text::{Chat, ChatTemplate, TextError};
use std::collections::BTreeMap;

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
