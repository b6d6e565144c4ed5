//! The single prompt: its options, the answer, six figures, and the prompt with its button.

use super::caches::Caches;
use super::icons::Icon;
use super::long_prompt::{self, LONGEST_EDITED};
use super::scene::Scene;
use super::theme::{self, DOUBLE, Palette, STEP};
use super::{right_to_left, stream_area, widgets};
use crate::protocol::{FinishReason, SessionState, bytes, or_nothing, rate};
use crate::state::{AnswerPart, Display, MAX_TOKENS_LOG2, MemoryCard, Sheet, SingleAction, SinglePhase};
use egui::{
    Align, CollapsingHeader, Key, KeyboardShortcut, Label, Layout, Modifiers, RichText, ScrollArea, TextEdit, Ui, vec2,
};

/// The prompt's editor, by which the keyboard's ways know it.
pub const PROMPT_ID: &str = "single prompt";

/// The system prompt's editor.
pub const SYSTEM_ID: &str = "system prompt";

/// Draws the column of options.
pub fn show_options(ui: &mut Ui, scene: &mut Scene<'_>) {
    widgets::section(ui, "Answer");
    let model = scene.state.model.loaded();
    let (can_think, can_use_tools) = model.map_or((true, true), |model| (model.can_think, model.can_use_tools));
    let single = &mut scene.settings.single;
    ui.add_enabled_ui(can_think, |ui| {
        let help = if can_think {
            "The model thinks before it answers; its thoughts are folded away above the answer"
        } else {
            "This model's chat template has no thinking switch"
        };
        widgets::switch(ui, &mut single.thinking, "Thinking", help);
    });
    ui.add_enabled_ui(can_use_tools, |ui| {
        let help = if can_use_tools {
            "The model may call three tools: the time and arithmetic (real), and the weather (sample data)"
        } else {
            "This model's chat template takes no tools"
        };
        widgets::switch(ui, &mut single.tools, "Tools", help);
    });
    widgets::slider(
        ui,
        "Max Tokens",
        &mut single.max_tokens_log2,
        MAX_TOKENS_LOG2,
        |slider| slider.step_by(1.0),
        |power| format!("{}", 1_u32 << power as u32),
    );
    widgets::slider(
        ui,
        "Temperature",
        &mut single.temperature,
        0.0..=2.0,
        |slider| slider.step_by(0.05),
        |value| format!("{value:.2}"),
    );
    widgets::section(ui, "System prompt");
    if single.system.len() > LONGEST_EDITED {
        return long_prompt::show(ui, &mut single.system);
    }
    let system = TextEdit::multiline(&mut single.system).desired_rows(3).desired_width(f32::INFINITY);
    let system = system.margin(theme::EDITOR_MARGIN);
    ui.add(system.id(egui::Id::unique(SYSTEM_ID))).accessible_name("System prompt");
    right_to_left::preview(ui, &single.system);
}

/// Draws the answer, the figures and the prompt.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, caches: &mut Caches) {
    let rows = if scene.settings.single.prompt_expanded { 10.0 } else { 3.0 };
    let preview = right_to_left::preview_height(&scene.settings.single.prompt);
    let prompt_height = rows * 19.0 + 4.0 * STEP + preview;
    let card_rows = if ui.available_width() < NARROW { 2.0 } else { 1.0 };
    let cards_height = card_rows * (CARD_HEIGHT + STEP) - STEP;
    let answer_height = (ui.available_height() - prompt_height - cards_height - 2.0 * STEP).max(96.0);
    ui.allocate_ui_with_layout(vec2(ui.available_width(), answer_height), Layout::top_down(Align::Min), |ui| {
        answer_card(ui, scene, caches, answer_height);
    });
    cards(ui, scene, CARDS / card_rows as usize);
    prompt(ui, scene, prompt_height, rows as usize);
}

fn answer_card(ui: &mut Ui, scene: &mut Scene<'_>, caches: &mut Caches, height: f32) {
    theme::card(ui).inner_margin(egui::Margin::symmetric(DOUBLE as i8, STEP as i8)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.set_height(height - 2.0 * STEP - 2.0);
        ui.horizontal(|ui| {
            status(ui, scene);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let answer_is_there = !scene.state.single.parts.is_empty();
                if widgets::icon_button(ui, Icon::Copy, "Copy the answer", answer_is_there).clicked() {
                    scene.copy(scene.state.single.answer());
                }
                let choices = [(Display::Markdown, "Markdown"), (Display::Plain, "Plain")];
                widgets::segmented(ui, "Display", &mut scene.settings.single.display, &choices);
            });
        });
        stream_area::show(ui, "answer", |ui| {
            answer(ui, scene, caches);
            widgets::scroll_by_keyboard(ui);
        });
    });
}

fn status(ui: &mut Ui, scene: &Scene<'_>) {
    let palette = Palette::of(ui);
    let (words, color) = match (&scene.state.single.phase, scene.state.single.session) {
        (SinglePhase::Idle, _) => ("Ready".to_owned(), palette.weak),
        (SinglePhase::Generating, SessionState::Queued | SessionState::Prefill) => {
            ("Reading the prompt…".to_owned(), palette.warn)
        }
        (SinglePhase::Generating, _) => ("Generating...".to_owned(), palette.accent_text),
        (SinglePhase::Ended(FinishReason::Cancelled), _) => ("Stopped".to_owned(), palette.weak),
        (SinglePhase::Ended(reason), _) => (format!("Done: {reason}"), palette.good),
        (SinglePhase::Failed(_), _) => ("Failed".to_owned(), palette.bad),
    };
    ui.label(RichText::new(words).color(color));
}

fn answer(ui: &mut Ui, scene: &Scene<'_>, caches: &mut Caches) {
    let palette = Palette::of(ui);
    let single = &scene.state.single;
    if single.parts.is_empty() && single.phase == SinglePhase::Idle {
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() / 2.0 - 32.0).max(0.0));
            ui.label(RichText::new("Ask the model something").font(theme::semibold(theme::BODY_SIZE)));
            ui.label(theme::caption(ui, "or run many sessions at once with Run Parallel Demo"));
        });
        return;
    }
    ui.set_max_width(ui.available_width().min(theme::READING_WIDTH));
    let count = single.parts.len();
    caches.answers.resize_with(count.max(caches.answers.len()), Default::default);
    for (place, part) in single.parts.iter().enumerate() {
        let Some(cache) = caches.answers.get_mut(place) else { continue };
        match part {
            AnswerPart::Thinking(text) => {
                let is_on = single.is_generating() && place + 1 == count;
                let heading = if is_on { "Thinking…" } else { "Thoughts" };
                CollapsingHeader::new(theme::caption(ui, heading))
                    .id_salt(("thinking", single.generation, place))
                    .show(ui, |ui| {
                        let font = egui::FontId::proportional(13.0);
                        cache.plain.show(ui, text.trim_start(), single.generation, &font, palette.weak);
                    });
            }
            AnswerPart::Answer(text) => match scene.settings.single.display {
                Display::Markdown => {
                    ui.style_mut().interaction.selectable_labels = true;
                    cache.markdown.show(ui, text, single.generation);
                }
                Display::Plain => {
                    let font = egui::FontId::proportional(theme::BODY_SIZE);
                    ui.push_id(("answer", place), |ui| {
                        cache.plain.show(ui, text, single.generation, &font, palette.text);
                    });
                }
            },
            AnswerPart::ToolCall { name, arguments, result } => tool_call(ui, name, arguments, result.as_ref()),
        }
    }
    if single.phase == SinglePhase::Ended(FinishReason::TokenLimit) {
        ui.label(RichText::new("Output truncated: Maximum token limit reached").color(palette.warn));
    }
    if let SinglePhase::Failed(message) = &single.phase {
        ui.add(Label::new(RichText::new(message).color(palette.bad)).wrap().selectable(true));
    }
}

fn tool_call(ui: &mut Ui, name: &str, arguments: &str, result: Option<&Result<String, String>>) {
    let palette = Palette::of(ui);
    egui::Frame::new().fill(palette.sunken).corner_radius(6).inner_margin(STEP).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            widgets::badge(ui, "Tool", palette.accent_text, palette.accent_faint);
            ui.add(Label::new(RichText::new(format!("{name}({arguments})")).monospace()).truncate());
        });
        match result {
            None => ui.label(theme::caption(ui, "Running…")),
            Some(Ok(answer)) => ui.add(Label::new(RichText::new(answer).monospace()).wrap().selectable(true)),
            Some(Err(error)) => ui.add(Label::new(RichText::new(error).color(palette.bad)).wrap()),
        };
    });
}

/// Below this width the cards stand in two rows.
const NARROW: f32 = 560.0;
/// LLMEval's figures.
const CARDS: usize = 6;
/// What a card's margins and lines add to its width, and to its height.
const CARD_EDGES: f32 = 2.0 * STEP + 2.0;
const CARD_HEIGHT: f32 = widgets::FIGURE_HEIGHT + CARD_EDGES;

/// The cards' widths, which together fill the row: the same for all, unless a name has no room then.
fn card_widths(ui: &Ui, names: &[&str]) -> Vec<f32> {
    let font = egui::TextStyle::Small.resolve(ui.style());
    let width_of = |name: &str| {
        let galley =
            ui.fonts_mut(|fonts| fonts.layout_no_wrap(name.to_owned(), font.clone(), egui::Color32::PLACEHOLDER));
        galley.size().x.ceil() + CARD_EDGES
    };
    let least: Vec<f32> = names.iter().map(|name| width_of(name)).collect();
    let count = least.len() as f32;
    let room = ui.available_width() - STEP * (count - 1.0);
    let same = room / count;
    let spare = (room - least.iter().sum::<f32>()) / count;
    let has_room = spare < 0.0 || least.iter().all(|least| *least <= same);
    let mut right = 0.0;
    let width = |least: f32| {
        let left = f32::round(right);
        right += if has_room { same } else { least + spare };
        f32::round(right) - left
    };
    least.into_iter().map(width).collect()
}

/// LLMEval's six figures, `in_row` beside each other.
fn cards(ui: &mut Ui, scene: &Scene<'_>, in_row: usize) {
    let single = &scene.state.single;
    let first = or_nothing(single.first_token_s, |seconds| format!("{:.0}", seconds * 1000.0));
    let memory = scene.state.memory;
    let values: [Card<'_>; CARDS] = [
        ("Tokens/sec", rate(single.tokens_per_second()), ""),
        ("Time to First Token", first, "ms"),
        ("Prompt Length", single.prompt_length(), "tokens"),
        ("Total Tokens", single.tokens.to_string(), ""),
        ("Total Time", format!("{:.1}", single.elapsed_s), "s"),
        ("Memory", bytes(memory.figures.active), ""),
    ];
    for row in values.chunks(in_row) {
        card_row(ui, scene, row);
    }
}

/// A figure's name, the figure, and its unit.
type Card<'a> = (&'a str, String, &'a str);

fn card_row(ui: &mut Ui, scene: &Scene<'_>, cards: &[Card<'_>]) {
    let names: Vec<&str> = cards.iter().map(|(name, _, _)| *name).collect();
    let widths = card_widths(ui, &names);
    let size = widgets::figure_size(widths.iter().copied().fold(f32::INFINITY, f32::min) - CARD_EDGES);
    ui.horizontal_top(|ui| {
        for ((name, value, unit), width) in cards.iter().zip(widths) {
            let card = theme::card(ui).show(ui, |ui| {
                let inner = width - CARD_EDGES;
                ui.set_min_size(vec2(inner, widgets::FIGURE_HEIGHT));
                ui.set_max_width(inner);
                widgets::figure_sized(ui, name, value, unit, inner, size);
            });
            if *name == "Memory" {
                card.response.on_hover_text(memory_words(&scene.state.memory));
            }
        }
    });
}

fn memory_words(memory: &MemoryCard) -> String {
    format!(
        "Active: {} of {}\nCache: {} of {}\nPeak: {}",
        bytes(memory.figures.active),
        bytes(memory.memory_limit),
        bytes(memory.figures.cache),
        bytes(memory.cache_limit),
        bytes(memory.figures.peak)
    )
}

fn prompt(ui: &mut Ui, scene: &mut Scene<'_>, height: f32, rows: usize) {
    let is_generating = scene.state.single.is_generating();
    let can_edit = !scene.state.is_busy() && scene.state.model.loaded().is_some();
    theme::card(ui).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.set_height(height - 2.0 * STEP - 2.0);
        ui.horizontal_top(|ui| {
            let buttons = 120.0;
            let room =
                vec2(ui.available_width() - buttons - (theme::ICON_SIZE + STEP) - 2.0 * STEP, ui.available_height());
            ui.allocate_ui_with_layout(room, Layout::top_down(Align::Min), |ui| {
                ui.add_enabled_ui(can_edit, |ui| editor(ui, scene, rows));
            });
            let is_expanded = scene.settings.single.prompt_expanded;
            let (icon, name) = if is_expanded {
                (Icon::Down, "Make the prompt's editor small")
            } else {
                (Icon::Up, "Make the prompt's editor tall")
            };
            if widgets::icon_button(ui, icon, name, true).clicked() {
                scene.settings.single.prompt_expanded = !is_expanded;
            }
            ui.allocate_ui_with_layout(vec2(buttons, 72.0), Layout::top_down(Align::Center), |ui| {
                let size = vec2(buttons, 32.0);
                if is_generating {
                    if widgets::stop_button(ui, "Stop", true, size).on_hover_text("Esc").clicked() {
                        scene.single(SingleAction::Stop);
                    }
                } else {
                    let can_start = can_edit && !scene.settings.single.prompt.trim().is_empty();
                    if widgets::primary_button(ui, "Generate", can_start, size).on_hover_text("Return").clicked() {
                        scene.single(SingleAction::Generate);
                    }
                }
                if ui.add(egui::Button::new("Examples").min_size(vec2(buttons, 24.0))).clicked() {
                    scene.open(Sheet::Presets);
                }
            });
        });
    });
}

fn editor(ui: &mut Ui, scene: &mut Scene<'_>, rows: usize) {
    let single = &mut scene.settings.single;
    if single.prompt.len() > LONGEST_EDITED {
        return long_prompt::show(ui, &mut single.prompt);
    }
    let height = ui.available_height() - right_to_left::preview_height(&single.prompt);
    let scroll = ScrollArea::vertical().id_salt("prompt").auto_shrink(false).max_height(height);
    scroll.min_scrolled_height(0.0).show(ui, |ui| {
        let editor = TextEdit::multiline(&mut single.prompt)
            .id(egui::Id::unique(PROMPT_ID))
            .margin(theme::EDITOR_MARGIN)
            .desired_width(f32::INFINITY)
            .desired_rows(rows)
            .hint_text("Prompt")
            .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter));
        ui.add(editor).accessible_name("Prompt");
    });
    right_to_left::preview(ui, &single.prompt);
}
