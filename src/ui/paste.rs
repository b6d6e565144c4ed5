//! Pasting a very long prompt: it becomes the prompt at once, without an editor laying it out first.

use super::long_prompt::LONGEST_EDITED;
use super::panel::draft_id;
use super::scene::Scene;
use super::single::{PROMPT_ID, SYSTEM_ID};
use crate::state::View;
use egui::{Context, Event, Id};

/// Takes a very long paste out of the input. It replaces the text of the editor that has the focus.
pub fn take_long(context: &Context, scene: &mut Scene<'_>) {
    let Some(focused) = context.memory(|memory| memory.focused()) else { return };
    let is_single = focused == Id::unique(PROMPT_ID);
    let is_system = focused == Id::unique(SYSTEM_ID);
    let is_draft = |index: &u32| scene.settings.view == View::Parallel && focused == draft_id(*index);
    let draft = (0..scene.settings.parallel.sessions).find(is_draft);
    if !is_single && !is_system && draft.is_none() {
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
    let Some(text) = long else { return };
    match draft {
        Some(index) => scene.settings.set_prompt(index, text),
        None if is_system => scene.settings.single.system = text,
        None => scene.settings.single.prompt = text,
    }
}
