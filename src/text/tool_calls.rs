//! Tool calls as model families write them: JSON, tags, Mistral's arguments, Gemma's braces, Python.

use super::FunctionCall;
use super::literals::Literals;
use serde_json::{Map, Value as Json};

/// Begins a call that names its function in the tag.
pub(super) const FUNCTION_TAG: &str = "<function=";

const MISTRAL_ARGUMENTS: &str = "[ARGS]";
const MISTRAL_ID: &str = "[CALL_ID]";

/// The calls in the text between two markers; none where it is no call at all.
pub(super) fn parse(text: &str) -> Option<Vec<FunctionCall>> {
    let text = text.trim();
    let calls = if text.starts_with(FUNCTION_TAG) {
        tagged(text)
    } else if let Some((head, arguments)) = text.split_once(MISTRAL_ARGUMENTS) {
        let name = head.split_once(MISTRAL_ID).map_or(head, |(name, _)| name).trim();
        Some(vec![call(name, serde_json::from_str(arguments).ok()?)?])
    } else if let Some(text) = text.strip_prefix("call:") {
        let (name, _) = text.split_once('{')?;
        let mut literals = Literals::new(&text[name.len()..]);
        let arguments = literals.braces()?;
        literals.is_at_end().then_some(vec![call(name.trim(), arguments)?])
    } else {
        json(text).or_else(|| python(text))
    };
    calls.filter(|calls| !calls.is_empty())
}

fn call(name: &str, arguments: Json) -> Option<FunctionCall> {
    let is_name = !name.is_empty() && !name.contains(|character: char| character.is_whitespace() || character == '<');
    is_name.then(|| FunctionCall { name: name.to_owned(), arguments })
}

/// One or more JSON values, each a call or a list of calls.
fn json(text: &str) -> Option<Vec<FunctionCall>> {
    let mut calls = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Json>();
        match values.next()?.ok()? {
            Json::Array(items) => calls.extend(items.iter().map(json_call).collect::<Option<Vec<_>>>()?),
            value => calls.push(json_call(&value)?),
        }
        // Llama puts semicolons between calls.
        rest = rest[values.byte_offset()..]
            .trim_start_matches(|character: char| character.is_whitespace() || character == ';' || character == ',');
    }
    Some(calls)
}

fn json_call(value: &Json) -> Option<FunctionCall> {
    let inner = if value["function"].is_object() { &value["function"] } else { value };
    let name = inner["name"].as_str().or(inner["function"].as_str()).or(inner["tool_name"].as_str())?;
    let arguments = ["arguments", "parameters", "args"].into_iter().find_map(|key| inner.get(key));
    let arguments = match arguments {
        // Some models write the arguments as JSON within JSON.
        Some(Json::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
        Some(arguments) => arguments.clone(),
        // An object that has a name and says other things of it is no call.
        None if inner
            .as_object()?
            .keys()
            .any(|key| !["name", "function", "tool_name", "type", "id"].contains(&&**key)) =>
        {
            return None;
        }
        None => Json::Object(Map::new()),
    };
    call(name, arguments)
}

/// `<function=NAME>`, then JSON or `<parameter=KEY>VALUE</parameter>`…
fn tagged(text: &str) -> Option<Vec<FunctionCall>> {
    let functions = text.split(FUNCTION_TAG).skip(1).map(|function| {
        let (name, body) = function.split_once('>')?;
        let body = body.trim().trim_end_matches("</function>").trim();
        let arguments = if body.is_empty() || body.starts_with("<parameter=") {
            parameters(body)?
        } else {
            serde_json::from_str(body).ok()?
        };
        call(name.trim(), arguments)
    });
    functions.collect()
}

fn parameters(body: &str) -> Option<Json> {
    let entries = body.split("<parameter=").skip(1).map(|parameter| {
        let (key, value) = parameter.split_once('>')?;
        let value = value.split("</parameter>").next()?.trim_matches('\n');
        Some((key.trim().to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
    });
    entries.collect::<Option<Map<_, _>>>().map(Json::Object)
}

/// `[name(key=value, …), …]` or one such call.
fn python(text: &str) -> Option<Vec<FunctionCall>> {
    let mut literals = Literals::new(text);
    let is_list = literals.take("[");
    let mut calls = Vec::new();
    while !(is_list && literals.take("]")) {
        let name = literals.name()?;
        calls.push(call(&name, literals.keywords()?)?);
        if !literals.take(",") {
            if is_list && !literals.take("]") {
                return None;
            }
            break;
        }
    }
    literals.is_at_end().then_some(calls)
}
