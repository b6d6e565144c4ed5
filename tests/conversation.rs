//! Conversations without a window: rounds, thoughts and tool calls, over the scripted engine with real tokenizers and
//! chat templates.

use crate::support::remote::{RemoteScript, RemoteSource};
use crate::support::scripted::{Script, Trouble, scripted_model, scripted_model_with_text, text_with_template};
use llmeval::protocol::{
    EvaluationResult, Execution, FinishReason, Sampling, Segment, SessionId, SessionUpdate, UpdateKind,
};
use llmeval::session::{Conversation, ConversationSettings, LoadedModel, Source, Tools, Wake};
use llmeval::state::{AnswerPart, SinglePhase, SingleState};
use llmeval::text::{Chat, Message, Role};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// A tool that adds, one that panics, and what they were asked.
#[derive(Default)]
struct Calculator(Mutex<Vec<String>>);

impl Tools for Calculator {
    fn definitions(&self) -> Vec<Value> {
        let function = |name: &str| {
            json!({ "type": "function", "function": {
                "name": name,
                "description": "Adds two numbers.",
                "parameters": { "type": "object", "properties": {
                    "a": { "type": "number" }, "b": { "type": "number" } }, "required": ["a", "b"] },
            } })
        };
        vec![function("add"), function("explode")]
    }

    fn run(&self, name: &str, arguments: &str) -> Result<String, String> {
        self.0.lock().unwrap().push(format!("{name} {arguments}"));
        assert_ne!(name, "explode", "it does");
        let read: Value = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
        match (read["a"].as_f64(), read["b"].as_f64()) {
            (Some(a), Some(b)) => Ok(json!({ "sum": a + b }).to_string()),
            _ => Err("a and b must be numbers".into()),
        }
    }
}

fn settings(id: u32) -> ConversationSettings {
    ConversationSettings {
        id: SessionId(id),
        sampling: Sampling::new(0.7, 1.0, 0, 0.0, 1.0, u64::from(id) * 1000).unwrap(),
        max_tokens: 4000,
        stop: Vec::new(),
        execution: Execution::Batched,
    }
}

fn silent() -> Wake {
    Arc::new(|| {})
}

/// One exchange to its end, with everything that was told of it.
async fn say(conversation: Conversation, words: &str) -> (Conversation, EvaluationResult, Vec<SessionUpdate>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let exchange = conversation.say(words, sender, silent());
    let mut updates = Vec::new();
    while let Some(update) = receiver.recv().await {
        updates.push(update);
    }
    let (conversation, result) = exchange.finish().await;
    (conversation, result, updates)
}

/// A model with a family's own chat template that says these words, round after round.
async fn saying_as(template: &str, rounds: &[&str]) -> LoadedModel {
    let text = text_with_template(template);
    let answers = rounds.iter().map(|words| text.encode_raw(words).unwrap()).collect();
    scripted_model_with_text(Script { answers, ..Script::default() }, text).await.0
}

async fn saying(rounds: &[&str]) -> LoadedModel {
    saying_as("qwen3", rounds).await
}

const CALL: &str = r#"Let me see.
<tool_call>
{"name": "add", "arguments": {"a": 40, "b": 2}}
</tool_call>"#;

fn roles(chat: &Chat) -> Vec<Role> {
    chat.messages.iter().map(|message| message.role).collect()
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_read_before_the_answer_comes() {
    let model = saying(&[CALL, "It is 42."]).await;
    let tools = Arc::new(Calculator::default());
    let conversation = Conversation::new(&model, Chat::default(), settings(0)).with_tools(tools.clone());
    let (conversation, result, updates) = say(conversation, "What is 40 + 2?").await;
    assert_eq!(*tools.0.lock().unwrap(), [r#"add {"a":40,"b":2}"#]);
    assert_eq!(roles(conversation.chat()), [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    let messages = &conversation.chat().messages;
    assert_eq!(messages[1].content.as_deref(), Some("Let me see."));
    assert_eq!(messages[2].content.as_deref(), Some(r#"{"sum":42.0}"#));
    assert_eq!(messages[3].content.as_deref(), Some("It is 42."));
    // The result is of all rounds, each of which was told as it came.
    assert_eq!((result.prompt.as_str(), result.finish_reason), ("What is 40 + 2?", FinishReason::EndOfSequence));
    assert_eq!(result.tokens as usize, result.token_ids.len());
    let mut shown = updates.iter().filter_map(|update| match &update.kind {
        UpdateKind::Tokens { tokens, .. } => Some(*tokens),
        _ => None,
    });
    assert!(shown.clone().is_sorted(), "tokens are counted on over the rounds");
    assert_eq!(shown.next_back(), Some(result.tokens));
    let UpdateKind::Ended(last) = &updates.last().unwrap().kind else { panic!("the last update is not the end") };
    assert_eq!(**last, result);

    // The window shows the same.
    let mut single = SingleState::default();
    single.start();
    updates.into_iter().for_each(|update| single.apply(update));
    let call = AnswerPart::ToolCall {
        name: "add".into(),
        arguments: r#"{"a":40,"b":2}"#.into(),
        result: Some(Ok(r#"{"sum":42.0}"#.into())),
    };
    let answer = |words: &str| AnswerPart::Answer(words.into());
    assert_eq!(single.parts, [answer("Let me see."), call, answer("It is 42.")]);
    assert_eq!(single.phase, SinglePhase::Ended(FinishReason::EndOfSequence));
    assert_eq!(single.prompt_tokens, result.prompt_tokens);
}

#[tokio::test]
async fn a_tools_result_carries_the_id_of_its_call_without_which_mistrals_template_raises() {
    let calls = r#"[TOOL_CALLS][{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "add", "arguments": {"a": 3, "b": 4}}]"#;
    let model = saying_as("mistral-nemo", &[calls, "3 and 7.", calls, "Still 3 and 7."]).await;
    let conversation =
        Conversation::new(&model, Chat::default(), settings(0)).with_tools(Arc::new(Calculator::default()));
    let (conversation, result, _) = say(conversation, "Add 1 to 2 and 3 to 4.").await;
    assert_eq!(result.error, None, "the template took the tools' results");
    let (conversation, result, _) = say(conversation, "Once more.").await;
    assert_eq!(result.error, None);
    let messages = &conversation.chat().messages;
    let calls: Vec<&str> =
        messages.iter().flat_map(|message| &message.tool_calls).filter_map(|call| call.id.as_deref()).collect();
    let results: Vec<&str> = messages.iter().filter_map(|message| message.tool_call_id.as_deref()).collect();
    assert_eq!(calls, ["call00000", "call00001", "call00002", "call00003"]);
    assert_eq!(results, calls);
    let rendered = model.text().chat_template().unwrap().render(conversation.chat()).unwrap();
    assert!(
        rendered.contains(r#"[TOOL_RESULTS]{"content": {"sum":7.0}, "call_id": "call00001"}[/TOOL_RESULTS]"#),
        "{rendered}"
    );

    // Without the ids the same conversation is refused.
    let mut without = conversation.chat().clone();
    without.messages.iter_mut().for_each(|message| message.tool_call_id = None);
    let refused = model.text().encode_chat(&without).unwrap_err();
    assert!(refused.to_string().contains("length 9"), "{refused}");
}

#[tokio::test]
async fn thoughts_are_told_apart_from_words_and_kept_apart() {
    let model = saying(&["<think>\nShort or long?\n</think>\n\nThe answer."]).await;
    let chat = Chat { thinking: Some(true), ..Chat::default() };
    let (conversation, _, updates) = say(Conversation::new(&model, chat, settings(0)), "Why?").await;
    let told = |thoughts: bool| -> String {
        let segments = updates.iter().filter_map(|update| match &update.kind {
            UpdateKind::Segment(Segment::Thinking { text }) if thoughts => Some(text.as_str()),
            UpdateKind::Segment(Segment::Text { text }) if !thoughts => Some(text.as_str()),
            _ => None,
        });
        segments.collect()
    };
    assert_eq!((told(true).as_str(), told(false).as_str()), ("Short or long?", "The answer."));
    let answer = conversation.chat().messages.last().unwrap();
    assert_eq!(answer.content.as_deref(), Some("The answer."));
    assert_eq!(answer.reasoning_content.as_deref(), Some("Short or long?"));
}

#[tokio::test]
async fn the_next_exchange_reads_all_that_was_said() {
    let model = saying(&["Blue.", "Because of the air."]).await;
    let system = Message::new(Role::System, "Be brief.");
    let chat = Chat { messages: vec![system], ..Chat::default() };
    let (conversation, first, _) = say(Conversation::new(&model, chat, settings(0)), "What colour is the sky?").await;
    let mut expected = conversation.chat().clone();
    expected.messages.push(Message::new(Role::User, "Why?"));
    let (conversation, second, _) = say(conversation, "Why?").await;
    assert_eq!(second.prompt_tokens, Some(model.text().encode_chat(&expected).unwrap().len() as u32));
    assert!(second.prompt_tokens > first.prompt_tokens);
    assert_eq!(roles(conversation.chat()), [Role::System, Role::User, Role::Assistant, Role::User, Role::Assistant]);
}

#[tokio::test]
async fn conversations_beside_each_other_answer_as_each_does_alone() {
    let answer = async |model: &LoadedModel, id: u32| {
        let conversation = Conversation::new(model, Chat::default(), settings(id));
        let (conversation, first, updates) = say(conversation, "Hello").await;
        assert!(updates.iter().all(|update| update.id == SessionId(id)));
        let (_, second, _) = say(conversation, "And now?").await;
        (first.token_ids, second.token_ids)
    };
    let (model, _) = scripted_model(Script { step: Duration::from_micros(100), ..Script::default() }).await;
    let together = tokio::join!(answer(&model, 0), answer(&model, 1), answer(&model, 2));
    let alone = (answer(&model, 0).await, answer(&model, 1).await, answer(&model, 2).await);
    assert_eq!(together, alone);
    assert_ne!(alone.0, alone.1, "each has its own seed");
}

#[tokio::test]
async fn a_model_that_only_calls_tools_is_asked_to_stop_and_the_exchange_is_taken_back() {
    let model = saying(&[CALL; 9]).await;
    let tools = Arc::new(Calculator::default());
    let conversation = Conversation::new(&model, Chat::default(), settings(0)).with_tools(tools.clone());
    let (conversation, result, _) = say(conversation, "Add").await;
    assert_eq!(result.finish_reason, FinishReason::Error);
    assert!(result.error.unwrap().contains("called tools 8 times without an answer"));
    assert_eq!(tools.0.lock().unwrap().len(), 8);
    assert!(conversation.chat().messages.is_empty(), "what was said is as before the exchange");
}

#[tokio::test]
async fn a_tool_that_breaks_is_an_answer_to_the_model_not_an_end() {
    let call = |name: &str| format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{}}}}\n</tool_call>");
    let model = saying(&[&call("explode"), &call("add"), "I can't."]).await;
    let conversation =
        Conversation::new(&model, Chat::default(), settings(0)).with_tools(Arc::new(Calculator::default()));
    let (conversation, result, _) = say(conversation, "Add").await;
    assert_eq!(result.finish_reason, FinishReason::EndOfSequence);
    let results: Vec<&str> = conversation
        .chat()
        .messages
        .iter()
        .filter(|message| message.role == Role::Tool)
        .filter_map(|message| message.content.as_deref())
        .collect();
    assert!(results[0].contains("failed unexpectedly"), "{results:?}");
    assert_eq!(results[1], r#"{"error":"a and b must be numbers"}"#);
}

#[tokio::test]
async fn an_exchange_that_is_stopped_keeps_what_was_said_and_can_be_followed_by_another() {
    let (model, _) = scripted_model(Script { step: Duration::from_millis(1), ..Script::default() }).await;
    let endless = ConversationSettings { max_tokens: 1_000_000, ..settings(0) };
    let (sender, mut receiver) = mpsc::channel(4);
    let exchange = Conversation::new(&model, Chat::default(), endless).say("Hello", sender, silent());
    let stops = exchange.stop_handle();
    let mut words = 0;
    while let Some(update) = receiver.recv().await {
        if let UpdateKind::Segment(Segment::Text { text }) = update.kind {
            words += text.len();
            if words > 20 {
                stops.stop_all();
            }
        }
    }
    let (conversation, result) = exchange.finish().await;
    assert_eq!(result.finish_reason, FinishReason::Cancelled);
    assert_eq!(roles(conversation.chat()), [Role::User, Role::Assistant]);
    assert_eq!(conversation.chat().messages[1].content.as_ref().unwrap().len(), words);
    let (sender, receiver) = mpsc::channel(4);
    drop(receiver);
    drop(conversation.say("Go on", sender, silent()));
}

#[tokio::test]
async fn an_exchange_that_fails_before_its_first_word_is_taken_back() {
    let (model, _) =
        scripted_model(Script { troubles: vec![(SessionId(0), Trouble::OpenFails)], ..Script::default() }).await;
    let (conversation, result, updates) = say(Conversation::new(&model, Chat::default(), settings(0)), "Hello").await;
    assert_eq!(result.error.as_deref(), Some("no room for session 0"));
    assert!(conversation.chat().messages.is_empty());
    let mut single = SingleState::default();
    single.start();
    updates.into_iter().for_each(|update| single.apply(update));
    assert_eq!(single.phase, SinglePhase::Failed("no room for session 0".into()));
}

#[tokio::test]
async fn tokens_of_all_rounds_count_against_one_limit() {
    let model = saying(&[CALL, "This is a long answer that nobody will ever read to its end."]).await;
    let first_round = model.text().encode_raw(CALL).unwrap().len() as u32;
    let settings = ConversationSettings { max_tokens: first_round + 4, ..settings(0) };
    let conversation = Conversation::new(&model, Chat::default(), settings).with_tools(Arc::new(Calculator::default()));
    let (_, result, _) = say(conversation, "Add").await;
    assert_eq!((result.tokens, result.finish_reason), (first_round + 4, FinishReason::TokenLimit));
}

#[tokio::test]
async fn a_conversation_is_held_with_an_engine_elsewhere_too() {
    let source = RemoteSource::new("vllm@studio", RemoteScript::default());
    let shared: Arc<dyn Source> = source.clone();
    let conversation =
        Conversation::new(shared, Chat::default(), settings(0)).with_tools(Arc::new(Calculator::default()));
    assert!(conversation.chat().tools.is_empty(), "this engine takes no tools");
    let (conversation, first, _) = say(conversation, "Hello").await;
    let (conversation, second, _) = say(conversation, "Again").await;
    assert_eq!((first.origin.engine.as_str(), first.token_ids.len()), ("vllm@studio", 0));
    assert!(second.text.contains("“Again”"));
    assert_eq!(conversation.chat().messages[1].content.as_deref(), Some(first.text.as_str()));
    let asked = source.jobs.lock().unwrap();
    assert!(asked.iter().all(|job| job.splits), "the engine is asked for the parts of its answer");
}
