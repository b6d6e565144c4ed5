//! The three tools that a model may call: the time and arithmetic are real, the weather is sample data and says so.

use crate::session::Tools;
use serde::Deserialize;
use serde_json::{Value, json};

/// The window's tools.
pub struct WindowTools;

impl Tools for WindowTools {
    fn definitions(&self) -> Vec<Value> {
        definitions()
    }

    fn run(&self, name: &str, arguments: &str) -> Result<String, String> {
        match name {
            "get_time" => {
                Ok(json!({ "time": chrono::Local::now().format("%A, %Y-%m-%d %H:%M:%S %:z").to_string() }).to_string())
            }
            "calculate" => calculate(&read(name, arguments)?),
            "get_weather" => Ok(weather(&read(name, arguments)?)),
            _ => Err(format!("there is no tool {name:?}; there are get_time, calculate and get_weather")),
        }
    }
}

fn definitions() -> Vec<Value> {
    vec![
        function("get_time", "The date and time now, where the person is.", json!({}), &[]),
        function(
            "calculate",
            "Adds, subtracts, multiplies or divides two numbers.",
            json!({
                "operation": { "type": "string", "enum": ["add", "subtract", "multiply", "divide"] },
                "a": { "type": "number", "description": "The first number." },
                "b": { "type": "number", "description": "The second number." },
            }),
            &["operation", "a", "b"],
        ),
        function(
            "get_weather",
            "The weather in a place (sample data).",
            json!({ "location": { "type": "string", "description": "A city." } }),
            &["location"],
        ),
    ]
}

fn function(name: &str, description: &str, properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": { "type": "object", "properties": properties, "required": required },
        },
    })
}

fn read<'a, T: Deserialize<'a>>(name: &str, arguments: &'a str) -> Result<T, String> {
    serde_json::from_str(arguments).map_err(|error| format!("{name} can't read its arguments: {error}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Deserialize)]
struct Calculation {
    operation: Operation,
    a: f64,
    b: f64,
}

fn calculate(asked: &Calculation) -> Result<String, String> {
    let &Calculation { a, b, .. } = asked;
    let result = match asked.operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide if b == 0.0 => return Err("a number can't be divided by 0".into()),
        Operation::Divide => a / b,
    };
    Ok(json!({ "result": result }).to_string())
}

#[derive(Deserialize)]
struct Place {
    location: String,
}

/// The same place always has the same sample weather.
fn weather(place: &Place) -> String {
    const SKIES: [&str; 4] = ["sunny", "cloudy", "light rain", "windy"];
    let sum: u32 = place.location.to_lowercase().chars().map(u32::from).sum();
    json!({
        "location": place.location,
        "temperature_celsius": 4 + sum % 24,
        "sky": SKIES[sum as usize % SKIES.len()],
        "note": "sample data, not a real observation",
    })
    .to_string()
}
