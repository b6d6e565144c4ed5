//! One session's panel.

use super::bidi;
use super::icons::Icon;
use super::long_prompt::{self, LONGEST_EDITED};
use super::scene::Scene;
use super::stream_text::{Mark, StreamText};
use super::theme::{self, HALF, Palette, STEP};
use super::{right_to_left, stream_area, verify, widgets};
use crate::protocol::{Replay, SessionId, SessionState, milliseconds, or_nothing, rate};
use crate::state::{BUCKETS, Panel, RunAction, Show};
use egui::{Align, Id, Label, Layout, Rect, RichText, ScrollArea, TextEdit, Ui, UiBuilder, vec2};

/// The widest that the curve of a panel gets.
const RATE_CURVE_WIDTH: f32 = 72.0;
/// Height of a row of small words.
const ROW_HEIGHT: f32 = 16.0;
/// Height of the bar and the three rows below it.
const FOOTER_HEIGHT: f32 = HALF + 3.0 * (ROW_HEIGHT + HALF);

/// Draws the panel of a session that was started, into `rect`.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, panel: &Panel, text: &mut StreamText, rect: Rect, is_maximised: bool) {
    in_card(ui, rect, panel.id, |ui| {
        header(ui, scene, panel, is_maximised);
        prompt(ui, scene, panel);
        let (above, height) = body_height(ui);
        ui.add_space(above);
        let body = vec2(ui.available_width(), height);
        ui.allocate_ui_with_layout(body, Layout::top_down(Align::Min), |ui| {
            ui.set_min_size(body);
            body_text(ui, panel, text, is_maximised);
        });
        ui.add_space(HALF);
        footer(ui, scene, panel);
    });
}

/// The room above the text and the text's own: whole rows, so that none is cut while it sticks to the bottom.
fn body_height(ui: &Ui) -> (f32, f32) {
    let row = ui.fonts_mut(|fonts| fonts.row_height(&egui::FontId::proportional(theme::BODY_SIZE)));
    // The distance to the footer, and the steps between this, the text and the room above.
    let room = ui.available_height() - FOOTER_HEIGHT - 3.0 * HALF;
    let height = row * (room / row).floor().max(1.0);
    ((room - height).max(0.0), height)
}

/// The editor of a session's prompt before the run.
pub fn draft_id(index: u32) -> Id {
    Id::unique(("draft prompt", index))
}

/// Draws the place of a session that has not been started: its prompt can be edited.
pub fn show_draft(ui: &mut Ui, scene: &mut Scene<'_>, index: u32, rect: Rect) {
    in_card(ui, rect, SessionId(index), |ui| {
        ui.horizontal(|ui| {
            ui.label(theme::title(format!("Session {index}")));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let seed = crate::protocol::session_seed(scene.settings.parallel.seed, index);
                let temperature = scene.settings.temperature_of(index);
                ui.label(theme::caption(ui, format!("seed {seed} · temp. {temperature:.2}")));
            });
        });
        let mut prompt = scene.settings.parallel.prompt(index).to_owned();
        if prompt.len() > LONGEST_EDITED {
            long_prompt::show(ui, &mut prompt);
        } else {
            let height = ui.available_height() - right_to_left::preview_height(&prompt);
            ScrollArea::vertical().id_salt("prompt").auto_shrink(false).max_height(height).show(ui, |ui| {
                let editor = TextEdit::multiline(&mut prompt)
                    .margin(theme::EDITOR_MARGIN)
                    .desired_width(f32::INFINITY)
                    .min_size(ui.available_size())
                    .hint_text("Prompt");
                ui.add(editor.id(draft_id(index))).accessible_name(format!("Prompt of session {index}"));
            });
            right_to_left::preview(ui, &prompt);
        }
        if prompt != scene.settings.parallel.prompt(index) {
            scene.settings.set_prompt(index, prompt);
        }
    });
}

fn in_card(ui: &mut Ui, rect: Rect, id: SessionId, contents: impl FnOnce(&mut Ui)) {
    let builder = UiBuilder::new().id_salt(("panel", id.0)).max_rect(rect).layout(Layout::top_down(Align::Min));
    ui.scope_builder(builder, |ui| {
        ui.set_clip_rect(ui.clip_rect().intersect(rect));
        theme::card(ui).show(ui, |ui| {
            ui.set_min_size(rect.size() - vec2(2.0 * STEP + 2.0, 2.0 * STEP + 2.0));
            ui.set_max_size(rect.size() - vec2(2.0 * STEP + 2.0, 2.0 * STEP + 2.0));
            ui.spacing_mut().item_spacing = vec2(STEP, HALF);
            contents(ui);
        });
    });
}

fn header(ui: &mut Ui, scene: &mut Scene<'_>, panel: &Panel, is_maximised: bool) {
    let palette = Palette::of(ui);
    ui.allocate_ui_with_layout(vec2(ui.available_width(), 24.0), Layout::left_to_right(Align::Center), |ui| {
        let color = palette.state(panel.state);
        ui.label(theme::title(panel.id.to_string())).on_hover_text(format!("Session {}", panel.id));
        ui.label(RichText::new(panel.state.label()).color(color));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            let id = panel.id;
            if is_maximised {
                if widgets::icon_button(ui, Icon::Restore, &format!("Back from session {id}"), true).clicked() {
                    scene.show(Show::Maximised(None));
                }
            } else if widgets::icon_button(ui, Icon::Maximise, &format!("Maximise session {id}"), true).clicked() {
                scene.show(Show::Maximised(Some(id)));
            }
            if widgets::icon_button(ui, Icon::Copy, &format!("Copy session {id}"), !panel.text.is_empty()).clicked() {
                scene.copy(panel.text.clone());
            }
            if panel.state.is_ended() {
                let can_run = !scene.state.is_busy() && scene.state.model.loaded().is_some();
                if widgets::icon_button(ui, Icon::Again, &format!("Run session {id} again"), can_run).clicked() {
                    scene.run(RunAction::Again(id));
                }
            } else if widgets::icon_button(ui, Icon::Stop, &format!("Stop session {id}"), true).clicked() {
                scene.run(RunAction::Stop(id));
            }
        });
    });
}

/// The prompt in one line, with what the session's replay found.
fn prompt(ui: &mut Ui, scene: &Scene<'_>, panel: &Panel) {
    ui.allocate_ui_with_layout(vec2(ui.available_width(), 20.0), Layout::right_to_left(Align::Center), |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        verify::badge(ui, scene, panel);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let prompt = RichText::new(one_line(&panel.prompt)).color(Palette::of(ui).weak);
            ui.add(Label::new(prompt).truncate()).on_hover_text(widgets::clipped(&panel.prompt));
        });
    });
}

/// How many tokens of how many, and how fast: a figure, and a curve of the last seconds in the room between.
fn tokens(ui: &mut Ui, panel: &Panel) {
    let palette = Palette::of(ui);
    let row = vec2(ui.available_width(), ROW_HEIGHT);
    ui.allocate_ui_with_layout(row, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        ui.label(theme::caption(ui, format!("{} / {} tokens", panel.tokens, panel.limit)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = HALF;
            let color = if panel.state == SessionState::Decoding { palette.accent_text } else { palette.weak };
            if panel.tokens > 0 {
                ui.label(theme::caption(ui, "tok/s"));
                let rate = rate(panel.tokens_per_second());
                ui.label(RichText::new(rate).font(theme::semibold(theme::SMALL_SIZE)));
            }
            let room = (ui.available_width() - HALF).min(RATE_CURVE_WIDTH);
            if room >= STEP {
                let (rect, _) = ui.allocate_exact_size(vec2(room, ROW_HEIGHT - HALF), egui::Sense::hover());
                let rates: Vec<f32> = panel.curve.rates().collect();
                widgets::curve(ui, rect, rates.into_iter(), BUCKETS, Align::Max, color);
            }
        });
    });
}

fn body_text(ui: &mut Ui, panel: &Panel, text: &mut StreamText, is_maximised: bool) {
    let palette = Palette::of(ui);
    stream_area::show(ui, "text", |ui| {
        ui.set_max_width(ui.available_width().min(theme::READING_WIDTH));
        if let Some(error) = &panel.error {
            ui.add(Label::new(RichText::new(error).color(palette.bad)).wrap().selectable(true));
        }
        if !panel.text.is_empty() {
            let font = egui::FontId::proportional(theme::BODY_SIZE);
            text.mark(mark(panel, palette));
            text.show(ui, &panel.text, panel.revision, &font, palette.text);
        } else if let Some(waiting) = waiting(panel) {
            ui.label(theme::caption(ui, waiting));
        }
        if is_maximised {
            widgets::scroll_by_keyboard(ui);
        }
    });
}

/// What stands in the text's place as long as there is none.
fn waiting(panel: &Panel) -> Option<String> {
    match panel.state {
        SessionState::Queued => Some("Waiting for a place".to_owned()),
        SessionState::Prefill => Some(format!(
            "Reading the prompt: {} of {} tokens",
            panel.prefilled,
            panel.prompt_tokens.unwrap_or(panel.prefilled)
        )),
        SessionState::Stopped => Some("Stopped before the first token".to_owned()),
        _ => None,
    }
}

/// The first token that differs from the session's replay. One that can't be seen takes what comes before it along.
fn mark(panel: &Panel, palette: &Palette) -> Option<Mark> {
    let (place, start, end) = match &panel.replay {
        Some(Replay::Differs { position, start, end, .. }) => (format!("token {position}"), start, end),
        Some(Replay::TextDiffers { character, start, end, .. }) => (format!("character {character}"), start, end),
        _ => return None,
    };
    let can_be_seen = |text: &str| text.contains(|character: char| !character.is_whitespace());
    panel.text.get(*start..*end)?;
    let starts = panel.text[..*end].char_indices().map(|(place, _)| place).rev().filter(|place| place <= start);
    let seen = std::iter::once(*start).chain(starts).find(|place| can_be_seen(&panel.text[*place..*end]));
    Some(Mark {
        range: seen.unwrap_or(*start)..*end,
        fill: palette.bad_faint,
        line: palette.bad,
        name: format!("Session {}: {place} is marked", panel.id),
    })
}

fn footer(ui: &mut Ui, scene: &Scene<'_>, panel: &Panel) {
    let palette = Palette::of(ui);
    let (share, color) = match panel.state {
        SessionState::Prefill => {
            let total = panel.prompt_tokens.unwrap_or(0).max(1);
            (panel.prefilled as f32 / total as f32, palette.prefill)
        }
        state => {
            (panel.progress(), if state == SessionState::Decoding { palette.accent } else { palette.state(state) })
        }
    };
    widgets::progress(ui, share, color, &format!("Progress of session {}", panel.id));
    let first = or_nothing(panel.time_to_first_token_ms(), milliseconds);
    tokens(ui, panel);
    let duration = panel.duration_s(scene.state.run.as_ref().map_or(0.0, |run| run.elapsed_s));
    row(ui, &format!("first token {first}"), &format!("{duration:.1} s"));
    let finish = panel.finish.map_or("", |reason| reason.label());
    row(ui, &format!("seed {} · temp. {:.2}", panel.seed, panel.temperature), finish);
}

fn row(ui: &mut Ui, left: &str, right: &str) {
    let row = vec2(ui.available_width(), ROW_HEIGHT);
    ui.allocate_ui_with_layout(row, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        ui.label(theme::caption(ui, left));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add(Label::new(theme::caption(ui, right)).truncate());
        });
    });
}

/// The first line of a prompt, short enough to be laid out in no time, and its words as they stand on screen.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if bidi::is_needed(line) {
        // A row is cut off on the right, which is where these words begin.
        let begin: String = line.chars().take(24).collect();
        let begin = if begin.len() < line.len() { begin + "…" } else { begin };
        return bidi::Paragraph::new(&begin, None).row(0..begin.len());
    }
    line.chars().take(240).collect()
}
