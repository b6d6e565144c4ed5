//! Chat templates, rendered as Python's transformers does.

use super::python;
use super::{Chat, TextError};
use chrono::{Local, NaiveDateTime};
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::error::Error as _;

const DEFAULT: &str = "default";
const WITH_TOOLS: &str = "tool_use";
/// SmolLM3's name for the tools; other templates don't know it.
const XML_TOOLS: &str = "xml_tools";

/// A model's chat templates, compiled, with the special tokens that they name.
#[derive(Debug)]
pub struct ChatTemplate {
    model: String,
    environment: Environment<'static>,
    special_tokens: BTreeMap<String, String>,
    can_think: bool,
    can_use_tools: bool,
}

impl ChatTemplate {
    /// Compiles the templates of `model`, each with its name: `default`, and `tool_use` for conversations with tools
    /// where the model has a template of its own for these. `special_tokens` are variables such as `bos_token`.
    pub fn new(
        model: &str,
        templates: &[(String, String)],
        special_tokens: BTreeMap<String, String>,
    ) -> Result<Self, TextError> {
        let mut environment = environment().map_err(|error| broken(model, &error))?;
        let mut can_think = false;
        let mut can_use_tools = false;
        for (name, source) in templates {
            let source = without_generation_tags(source);
            environment.add_template_owned(name.clone(), source.clone()).map_err(|error| broken(model, &error))?;
            let template = environment.get_template(name).map_err(|error| broken(model, &error))?;
            let variables = template.undeclared_variables(false);
            can_think |= source.contains("enable_thinking") || variables.contains("thinking");
            can_use_tools |= name == WITH_TOOLS
                || ["tools", XML_TOOLS].iter().any(|name| variables.contains(*name))
                || source.contains("tools is");
        }
        Ok(Self { model: model.to_owned(), environment, special_tokens, can_think, can_use_tools })
    }

    /// Whether the template has a thinking switch.
    pub fn can_think(&self) -> bool {
        self.can_think
    }

    /// Whether the template takes tools.
    pub fn can_use_tools(&self) -> bool {
        self.can_use_tools
    }

    /// The prompt that asks the model for its next turn.
    pub fn render(&self, chat: &Chat) -> Result<String, TextError> {
        self.render_at(chat, Local::now().naive_local(), true)
    }

    /// [`ChatTemplate::render`] at a given local time, and without the opening of the model's turn where
    /// `add_generation_prompt` is off.
    pub fn render_at(&self, chat: &Chat, now: NaiveDateTime, add_generation_prompt: bool) -> Result<String, TextError> {
        let template = Some(WITH_TOOLS)
            .filter(|_| !chat.tools.is_empty())
            .into_iter()
            .chain([DEFAULT])
            .find_map(|name| self.environment.get_template(name).ok())
            .ok_or_else(|| TextError::BrokenTemplate {
                model: self.model.clone(),
                reason: format!("there are named templates, but none is called {DEFAULT:?}"),
                line: None,
            })?;
        let mut context: Map<String, Json> =
            self.special_tokens.iter().map(|(name, token)| (name.clone(), token.as_str().into())).collect();
        context.insert("messages".into(), messages(chat));
        let tools = if chat.tools.is_empty() { Json::Null } else { chat.tools.as_slice().into() };
        context.insert(XML_TOOLS.into(), tools.clone());
        context.insert("tools".into(), tools);
        context.insert("documents".into(), Json::Null);
        context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        if let Some(thinking) = chat.thinking {
            // Families call the switch differently; a template ignores the name that it doesn't know.
            context.insert("enable_thinking".into(), thinking.into());
            context.insert("thinking".into(), thinking.into());
        }
        let clock = Value::from_function(move |format: &str| python::format_time(now, format));
        let context = Value::from(Serde(&context));
        template.render(minijinja::context! { strftime_now => clock, ..context }).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &Error) -> TextError {
        let model = self.model.clone();
        let mut source = error.source();
        let mut deepest = error;
        while let Some(cause) = source {
            if let Some(Raised(message)) = cause.downcast_ref() {
                return TextError::TemplateRaised { model, message: message.clone() };
            }
            deepest = cause.downcast_ref().unwrap_or(deepest);
            source = cause.source();
        }
        TextError::TemplateFailed { model, reason: reason(deepest), line: deepest.line().or(error.line()) }
    }
}

/// The turns as templates see them. Reasoning goes by both names in use, as in transformers.
fn messages(chat: &Chat) -> Json {
    let turns = chat.messages.iter().map(|message| {
        let mut turn = json!(message);
        if let (Some(reasoning), Some(turn)) = (&message.reasoning_content, turn.as_object_mut()) {
            turn.insert("thinking".into(), reasoning.as_str().into());
        }
        turn
    });
    turns.collect()
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(environment.syntax().to_builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_formatter(|out, _: &mut State, value| {
        out.write_str(&python::string(value)).map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
    });
    environment.add_filter("tojson", python::to_json);
    environment.add_filter("string", |value: &Value| python::string(value));
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        let message = python::string(message);
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    Ok(environment)
}

/// What a template raised, kept apart from failures of the template itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn broken(model: &str, error: &Error) -> TextError {
    TextError::BrokenTemplate { model: model.to_owned(), reason: reason(error), line: error.line() }
}

fn reason(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// `{% generation %}` marks the model's own words for training; for rendering it is a block that always shows. A
/// condition that holds keeps the block and its whitespace control.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|length| start + length) else { break };
        let tag = &rest[start + 2..end];
        let name = tag.trim_matches(['-', '+', ' ', '\t', '\n', '\r']);
        let plain = match name {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        out.push_str(&rest[..start + 2]);
        out.push_str(&plain.map_or_else(|| tag.to_owned(), |plain| tag.replacen(name, plain, 1)));
        out.push_str("%}");
        rest = &rest[end + 2..];
    }
    out.push_str(rest);
    out
}
