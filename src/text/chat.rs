//! A conversation, in the shape that chat templates expect.

use crate::protocol::Segment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a chat template renders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    /// The turns, oldest first.
    pub messages: Vec<Message>,
    /// Functions that the model may call, each in the JSON schema form `{"type": "function", "function": {…}}`.
    pub tools: Vec<Value>,
    /// The template's thinking switch; none leaves it to the template.
    pub thinking: Option<bool>,
}

impl Chat {
    /// One question, with a system prompt where given.
    pub fn question(system: Option<&str>, prompt: &str) -> Self {
        let system = system.map(|system| Message::new(Role::System, system));
        Self { messages: system.into_iter().chain([Message::new(Role::User, prompt)]).collect(), ..Self::default() }
    }
    /// Adds the model's answer, in the parts into which it was split, so that another turn can follow. Gives the calls
    /// that it made, each with an id by which its result is known.
    pub fn push_answer(&mut self, segments: &[Segment]) -> Vec<ToolCall> {
        let earlier: usize = self.messages.iter().map(|message| message.tool_calls.len()).sum();
        let (mut content, mut reasoning, mut tool_calls) = (String::new(), String::new(), Vec::new());
        for segment in segments {
            match segment {
                Segment::Text { text } => content.push_str(text),
                Segment::Thinking { text } => reasoning.push_str(text),
                Segment::ToolCall { name, arguments } => {
                    let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.as_str().into());
                    tool_calls.push(ToolCall {
                        // Mistral's templates insist on nine letters and digits.
                        id: Some(format!("call{:05}", earlier + tool_calls.len())),
                        kind: ToolCall::function_kind(),
                        function: FunctionCall { name: name.clone(), arguments },
                    });
                }
            }
        }
        self.messages.push(Message {
            reasoning_content: Some(reasoning).filter(|reasoning| !reasoning.is_empty()),
            tool_calls: tool_calls.clone(),
            ..Message::new(Role::Assistant, content)
        });
        tool_calls
    }

    /// Adds what a tool gave for `call`.
    pub fn push_tool_result(&mut self, call: &ToolCall, result: impl Into<String>) {
        self.messages.push(Message {
            tool_call_id: call.id.clone(),
            name: Some(call.function.name.clone()),
            ..Message::new(Role::Tool, result)
        });
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the rules.
    System,
    /// Asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; a turn that only calls tools says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What the model thought before it spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The tools that the model called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's result answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A turn of plain words.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: Some(content.into()),
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }
}

/// One call in an assistant's turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Ties the result to the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Always `function`.
    #[serde(rename = "type", default = "ToolCall::function_kind")]
    pub kind: String,
    /// What is called.
    pub function: FunctionCall,
}

impl ToolCall {
    fn function_kind() -> String {
        "function".to_owned()
    }
}

/// A function's name and arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Which function.
    pub name: String,
    /// Its arguments, by name.
    pub arguments: Value,
}
