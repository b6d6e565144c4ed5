//! Reads values as Python and Gemma write them in tool calls.

use serde_json::{Map, Value as Json};

/// Gemma's quotation marks, which are tokens.
const QUOTES: [&str; 2] = ["<escape>", "<|\"|>"];

/// Deeper nesting is no call that anyone wrote, and must not fill the stack.
const MAX_DEPTH: usize = 32;

/// A text that is read from the front. Every reader gives none where the text is something else.
#[derive(Debug)]
pub(super) struct Literals<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Literals<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.trim_start(), depth: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.trim_end().is_empty()
    }

    /// Takes `mark` and the white space after it.
    pub(super) fn take(&mut self, mark: &str) -> bool {
        let after = self.rest.strip_prefix(mark);
        self.rest = after.map_or(self.rest, str::trim_start);
        after.is_some()
    }

    /// A name such as `get_weather` or `weather.now`.
    pub(super) fn name(&mut self) -> Option<String> {
        let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '-');
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// Python's `(key=value, …)`.
    pub(super) fn keywords(&mut self) -> Option<Json> {
        let pair = |literals: &mut Self| {
            let key = literals.name()?;
            literals.take("=").then_some(())?;
            Some((key, literals.python_value()?))
        };
        self.take("(").then_some(())?;
        Some(Json::Object(self.list(")", pair)?.into_iter().collect()))
    }

    /// Gemma's `{key:value, …}`: keys without quotation marks.
    pub(super) fn braces(&mut self) -> Option<Json> {
        let pair = |literals: &mut Self| {
            let key = match literals.gemma_text() {
                Some(key) => key,
                None => literals.name()?,
            };
            literals.take(":").then_some(())?;
            Some((key, literals.gemma_value()?))
        };
        self.take("{").then_some(())?;
        Some(Json::Object(self.list("}", pair)?.into_iter().collect()))
    }

    /// Items with commas between, up to and with `end`.
    fn list<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())?;
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(item(self)?);
            if !self.take(",") {
                self.take(end).then_some(())?;
                break;
            }
        }
        self.depth -= 1;
        Some(items)
    }

    fn python_value(&mut self) -> Option<Json> {
        match self.rest.chars().next()? {
            quote @ ('"' | '\'') => self.python_text(quote).map(Json::String),
            '[' => {
                self.take("[");
                self.list("]", Self::python_value).map(Json::Array)
            }
            '(' => {
                self.take("(");
                self.list(")", Self::python_value).map(Json::Array)
            }
            '{' => {
                let pair = |literals: &mut Self| {
                    let key = literals.python_value()?.as_str()?.to_owned();
                    literals.take(":").then_some(())?;
                    Some((key, literals.python_value()?))
                };
                self.take("{");
                Some(Json::Object(self.list("}", pair)?.into_iter().collect::<Map<_, _>>()))
            }
            _ => {
                let word = self.word();
                match word {
                    "True" | "true" => Some(true.into()),
                    "False" | "false" => Some(false.into()),
                    "None" | "null" => Some(Json::Null),
                    number => serde_json::from_str(number).ok().filter(Json::is_number),
                }
            }
        }
    }

    fn python_text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    escaped @ ('\\' | '\'' | '"') => text.push(escaped),
                    other => text.extend(['\\', other]),
                },
                end if end == quote => {
                    self.rest = self.rest[at + end.len_utf8()..].trim_start();
                    return Some(text);
                }
                plain => text.push(plain),
            }
        }
        None
    }

    fn gemma_value(&mut self) -> Option<Json> {
        if let Some(text) = self.gemma_text() {
            return Some(text.into());
        }
        if self.rest.starts_with('{') {
            return self.braces();
        }
        if self.take("[") {
            return self.list("]", Self::gemma_value).map(Json::Array);
        }
        let word = self.word();
        Some(serde_json::from_str(word).unwrap_or_else(|_| word.into()))
    }

    fn gemma_text(&mut self) -> Option<String> {
        let quote = QUOTES.into_iter().find(|quote| self.rest.starts_with(quote))?;
        let (text, rest) = self.rest[quote.len()..].split_once(quote)?;
        self.rest = rest.trim_start();
        Some(text.to_owned())
    }

    /// Everything up to the next comma or bracket.
    fn word(&mut self) -> &'a str {
        let end = self.rest.find([',', ')', ']', '}']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.trim_end()
    }
}
