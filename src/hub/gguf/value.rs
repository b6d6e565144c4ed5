//! The metadata values of GGUF: numbers, booleans, texts and flat lists of them.

use super::reader::{Problem, Reader};
use std::io::Read;

/// A metadata value; numbers of all widths are widened.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// Any whole number. Values of uint64 above the range of i64 don't occur in sound files and are refused.
    Integer(i64),
    /// float32 or float64.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of whole numbers.
    Integers(Vec<i64>),
    /// A list of float32 or float64.
    Floats(Vec<f64>),
    /// A list of booleans.
    Bools(Vec<bool>),
    /// A list of texts.
    Texts(Vec<String>),
}

impl GgufValue {
    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, where it is one and not negative.
    pub fn as_unsigned(&self) -> Option<u64> {
        if let Self::Integer(number) = self { u64::try_from(*number).ok() } else { None }
    }

    /// The number, where it is one, whole or not.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The boolean, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The texts, where it is a list of them.
    pub fn as_texts(&self) -> Option<&[String]> {
        if let Self::Texts(texts) = self { Some(texts) } else { None }
    }

    /// The whole numbers, where it is a list of them.
    pub fn as_integers(&self) -> Option<&[i64]> {
        if let Self::Integers(numbers) = self { Some(numbers) } else { None }
    }

    /// The numbers, where it is a list of numbers that need not be whole.
    pub fn as_floats(&self) -> Option<&[f64]> {
        if let Self::Floats(numbers) = self { Some(numbers) } else { None }
    }
}

impl GgufValue {
    /// The kind of value, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Text(_) => "a text",
            Self::Integers(_) => "a list of whole numbers",
            Self::Floats(_) => "a list of numbers",
            Self::Bools(_) => "a list of truth values",
            Self::Texts(_) => "a list of texts",
        }
    }
}

/// GGUF's number of the type "list of".
const LIST: u32 = 9;

/// Reads a type and a value of it.
pub(super) fn read<R: Read>(reader: &mut Reader<R>) -> Result<GgufValue, Problem> {
    match reader.u32()? {
        LIST => read_list(reader),
        kind => read_scalar(reader, kind),
    }
}

fn read_scalar<R: Read>(reader: &mut Reader<R>, kind: u32) -> Result<GgufValue, Problem> {
    Ok(match kind {
        0 => GgufValue::Integer(u8::from_le_bytes(reader.bytes()?).into()),
        1 => GgufValue::Integer(i8::from_le_bytes(reader.bytes()?).into()),
        2 => GgufValue::Integer(u16::from_le_bytes(reader.bytes()?).into()),
        3 => GgufValue::Integer(i16::from_le_bytes(reader.bytes()?).into()),
        4 => GgufValue::Integer(reader.u32()?.into()),
        5 => GgufValue::Integer(i32::from_le_bytes(reader.bytes()?).into()),
        6 => GgufValue::Float(f32::from_le_bytes(reader.bytes()?).into()),
        7 => match reader.bytes()? {
            [0] => GgufValue::Bool(false),
            [1] => GgufValue::Bool(true),
            [other] => return Err(format!("{other} is no truth value")),
        },
        8 => GgufValue::Text(reader.text()?),
        10 => {
            let number = reader.u64()?;
            GgufValue::Integer(number.try_into().map_err(|_| format!("the number {number} is out of range"))?)
        }
        11 => GgufValue::Integer(i64::from_le_bytes(reader.bytes()?)),
        12 => GgufValue::Float(f64::from_le_bytes(reader.bytes()?)),
        other => return Err(format!("there is no value type {other}")),
    })
}

/// A list's length is bounded by the bytes that are left, so no vector grows beyond a few times the file's size.
fn read_list<R: Read>(reader: &mut Reader<R>) -> Result<GgufValue, Problem> {
    let kind = reader.u32()?;
    if kind == LIST {
        return Err("it is a list of lists".into());
    }
    let count = reader.count("list items", u32::MAX.into())?;
    let mut list = match kind {
        6 | 12 => GgufValue::Floats(Vec::new()),
        7 => GgufValue::Bools(Vec::new()),
        8 => GgufValue::Texts(Vec::new()),
        _ => GgufValue::Integers(Vec::new()),
    };
    for _ in 0..count {
        match (&mut list, read_scalar(reader, kind)?) {
            (GgufValue::Integers(items), GgufValue::Integer(item)) => items.push(item),
            (GgufValue::Floats(items), GgufValue::Float(item)) => items.push(item),
            (GgufValue::Bools(items), GgufValue::Bool(item)) => items.push(item),
            (GgufValue::Texts(items), GgufValue::Text(item)) => items.push(item),
            _ => return Err(format!("there is no value type {kind}")),
        }
    }
    Ok(list)
}
