//! Pasting a very long prompt: it becomes the prompt at once, without an editor laying it out first.

use super::LONGEST_EDITED;
use super::scene::Scene;
use super::single::PROMPT_ID;
use egui::{Context, Event, Id};

/// Takes a very long paste out of the input. It replaces the single prompt where that has the focus.
pub fn take_long(context: &Context, scene: &mut Scene<'_>) {
    let focused = context.memory(|memory| memory.focused());
    if focused != Some(Id::unique(PROMPT_ID)) {
        return;
    }
    let long = context.input_mut(|input| {
        let is_long = |event: &Event| matches!(event, Event::Paste(text) if text.len() > LONGEST_EDITED);
        let place = input.events.iter().position(is_long)?;
        match input.events.remove(place) {
            Event::Paste(text) => Some(text),
            _ => None,
        }
    });
    if let Some(text) = long {
        scene.settings.single.prompt = text;
    }
}
