//! The single prompt, as LLMEval has it.

use super::bench::{Bench, Setting, text_model};
use crate::support::scripted::{Script, Trouble};
use llmeval::protocol::{FinishReason, SessionId};
use llmeval::state::{AnswerPart, Display, SinglePhase, View};
use std::time::Duration;

#[test]
fn generate_fills_the_answer_and_the_six_cards() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Generate");
    bench.wait("the end", |state| state.single.phase == SinglePhase::Ended(FinishReason::TokenLimit));
    let single = &bench.state().single;
    assert_eq!(single.tokens, 2048);
    assert!(single.prompt_tokens > Some(0));
    assert!(!single.answer().is_empty());
    for card in ["Tokens/sec", "Time to First Token", "Prompt Length", "Total Tokens", "Total Time", "Memory"] {
        assert!(bench.says(&format!("{card}: ")), "the card {card} is missing");
    }
    assert!(bench.shows("Total Tokens: 2048"));
    assert!(bench.shows("Output truncated: Maximum token limit reached"));
}

#[test]
fn the_button_reads_stop_while_it_generates_and_stops() {
    let script = Script { step: Duration::from_millis(2), ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.click("Generate");
    bench.wait("tokens", |state| state.single.tokens > 2);
    assert!(!bench.shows("Generate"));
    assert!(!bench.is_enabled("Prompt"), "the prompt can't be changed while it is answered");
    bench.click("Stop");
    bench.wait("the end", |state| !state.single.is_generating());
    assert_eq!(bench.state().single.phase, SinglePhase::Ended(FinishReason::Cancelled));
    assert!(bench.state().single.tokens < 2048);
    assert!(bench.shows("Generate"));
}

#[test]
fn a_failed_answer_says_why() {
    let script = Script { troubles: vec![(SessionId(0), Trouble::OpenFails)], ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    assert!(bench.says("no room for session 0"));
    assert!(bench.is_enabled("Generate"));
}

#[test]
fn the_slider_of_max_tokens_moves_in_powers_of_two() {
    let mut bench = Bench::open(Setting::default());
    bench.set("Max Tokens", 10.0);
    assert_eq!(bench.state().settings.single.max_tokens(), 1024);
    assert!(bench.shows("1024"));
    bench.set("Max Tokens", 15.0);
    assert_eq!(bench.state().settings.single.max_tokens(), 32_768);
}

#[test]
fn an_example_sets_the_prompt_and_the_switches() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Examples");
    bench.click("What time is it now?");
    let single = &bench.state().settings.single;
    assert_eq!(single.prompt, "What time is it now?");
    assert!(single.tools && !single.thinking);
    assert!(bench.state().sheet.is_none());
}

#[test]
fn the_examples_cover_short_thinking_tool_and_long_prompts() {
    let presets = llmeval::state::presets().unwrap();
    assert!(presets.iter().any(|preset| preset.badges().count() == 0));
    assert!(presets.iter().any(|preset| preset.thinking));
    assert!(presets.iter().any(|preset| preset.tools));
    assert!(presets.iter().filter(|preset| preset.long && preset.prompt.len() > 2000).count() >= 2);
}

#[test]
fn switches_and_the_picker_change_the_settings() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Thinking");
    bench.click("Tools");
    bench.click("Plain");
    bench.click("Make the prompt's editor tall");
    let single = &bench.state().settings.single;
    assert!(single.thinking && single.tools && single.prompt_expanded);
    assert_eq!(single.display, Display::Plain);
}

#[test]
fn the_answer_is_copied_by_its_button() {
    let mut bench = Bench::open(Setting::default());
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    bench.node("Copy the answer").click();
    let expected = bench.state().single.answer();
    assert!(bench.steps_until_copied(&expected));
}

#[test]
fn the_parallel_button_leads_from_the_single_prompt_to_the_panels() {
    let mut bench = Bench::open(Setting::default());
    assert_eq!(bench.state().settings.view, View::Single);
    bench.run_to_end();
    assert_eq!(bench.state().settings.view, View::Parallel);
}

/// What the scripted model says, round after round.
fn says(rounds: &[&str]) -> Setting {
    let text = text_model();
    let answers = rounds.iter().map(|words| text.encode_raw(words).unwrap()).collect();
    Setting::script(Script { answers, ..Script::default() })
}

#[test]
fn a_tool_call_is_shown_run_and_its_answer_fed_back() {
    let call = r#"<tool_call>
{"name": "calculate", "arguments": {"operation": "multiply", "a": 6, "b": 7}}
</tool_call>"#;
    let mut bench = Bench::open(says(&[call, "It is 42."]));
    bench.click("Tools");
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    let single = &bench.state().single;
    assert_eq!(single.phase, SinglePhase::Ended(FinishReason::EndOfSequence));
    let AnswerPart::ToolCall { name, result, .. } = &single.parts[0] else { panic!("no call: {:?}", single.parts) };
    assert_eq!(name, "calculate");
    assert_eq!(result, &Some(Ok(r#"{"result":42.0}"#.into())));
    assert_eq!(single.answer(), "It is 42.");
    assert!(bench.shows(r#"{"result":42.0}"#));
}

#[test]
fn a_tool_that_does_not_exist_is_an_answer_to_the_model_not_an_end() {
    let call = r#"<tool_call>
{"name": "launch_rocket", "arguments": {}}
</tool_call>"#;
    let mut bench = Bench::open(says(&[call, "I can't."]));
    bench.click("Tools");
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    let AnswerPart::ToolCall { result: Some(Err(error)), .. } = &bench.state().single.parts[0] else {
        panic!("no error")
    };
    assert!(error.contains("there is no tool"));
    assert_eq!(bench.state().single.answer(), "I can't.");
}

#[test]
fn thoughts_are_folded_away_under_a_heading_that_opens() {
    let mut bench = Bench::open(says(&["<think>\nHidden reasons.\n</think>\n\nThe answer."]));
    bench.click("Plain");
    bench.click("Thinking");
    bench.click("Generate");
    bench.wait("the end", |state| !state.single.is_generating());
    assert_eq!(bench.state().single.answer(), "The answer.");
    assert!(!bench.says("Hidden reasons."));
    bench.click("Thoughts");
    for _ in 0..20 {
        bench.step();
    }
    assert!(bench.says("Hidden reasons."));
}
