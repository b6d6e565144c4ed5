//! A lane per session: when it waited, read its prompt and decoded.

use super::theme::{self, HALF, Palette, STEP};
use crate::protocol::SessionState;
use crate::state::{Panel, RunState};
use egui::accesskit::Role;
use egui::{Align2, Color32, CornerRadius, Rect, Sense, Ui, WidgetInfo, pos2, vec2};

/// Width of the lanes' numbers.
const NUMBERS: f32 = 24.0;
/// The least distance of the lanes' numbers.
const NUMBER_HEIGHT: f32 = 10.0;
/// Height of the scale below the lanes.
const SCALE: f32 = 16.0;

fn lane_height(sessions: usize, room: f32) -> f32 {
    (room / sessions.max(1) as f32).clamp(2.0, 12.0)
}

/// Draws the timeline of `run` over the available width, its lanes together about `room` high at most.
pub fn show(ui: &mut Ui, run: &RunState, room: f32) {
    let sessions = run.panels.len();
    let lane = lane_height(sessions, room);
    let size = vec2(ui.available_width(), lane * sessions as f32 + SCALE);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Image, true, format!("Timeline of {sessions} sessions over {:.1} s", run.elapsed_s))
    });
    let palette = Palette::of(ui);
    let lanes = Rect::from_min_max(pos2(rect.left() + NUMBERS, rect.top()), pos2(rect.right(), rect.bottom() - SCALE));
    let span = run.elapsed_s.max(0.1);
    let x = |at_s: f64| lanes.left() + lanes.width() * (at_s / span).clamp(0.0, 1.0) as f32;
    let gap = if lane >= 6.0 { 2.0 } else { 1.0 };
    // Where lanes are lower than their numbers, not every one is named.
    let named = (NUMBER_HEIGHT / lane).ceil().max(1.0) as usize;
    let named = named.next_power_of_two();
    for (place, panel) in run.panels.iter().enumerate() {
        let top = lanes.top() + lane * place as f32;
        if place % named == 0 {
            let font = egui::FontId::proportional(10.0);
            ui.painter().text(
                pos2(rect.left(), top + (lane - gap) / 2.0),
                Align2::LEFT_CENTER,
                panel.id,
                font,
                palette.weak,
            );
        }
        for (from, to, color) in stretches(panel, run.elapsed_s, palette) {
            let bar = Rect::from_min_max(pos2(x(from), top), pos2(x(to).max(x(from) + 1.0), top + lane - gap));
            ui.painter().rect_filled(bar, CornerRadius::same(1), color);
        }
    }
    scale(ui, lanes, span, palette);
    if let Some(pointer) = response.hover_pos().filter(|pointer| lanes.contains(*pointer)) {
        let place = ((pointer.y - lanes.top()) / lane) as usize;
        if let Some(panel) = run.panels.get(place) {
            response.on_hover_text_at_pointer(words(panel, run.elapsed_s));
        }
    }
}

/// The stretches of a session with their colours: queued, prefill, decoding.
fn stretches(panel: &Panel, now_s: f64, palette: &Palette) -> Vec<(f64, f64, Color32)> {
    let line = &panel.timeline;
    let end = if panel.state.is_ended() { line.ended_s } else { now_s };
    let prefill = line.prefill_s.unwrap_or(end);
    let first = line.first_token_s.unwrap_or(end);
    let decoding = if panel.state == SessionState::Failed { palette.bad } else { palette.accent };
    let all = [
        (line.submitted_s, prefill, palette.control_hovered),
        (prefill, first, palette.prefill),
        (first, end, decoding),
    ];
    all.into_iter().filter(|(from, to, _)| to > from).collect()
}

fn words(panel: &Panel, now_s: f64) -> String {
    let line = &panel.timeline;
    let end = if panel.state.is_ended() { line.ended_s } else { now_s };
    let prefill = line.prefill_s.unwrap_or(end);
    let first = line.first_token_s.unwrap_or(end);
    format!(
        "Session {}: queued {:.2} s, prefill {:.2} s, decoding {:.2} s",
        panel.id,
        prefill - line.submitted_s,
        first - prefill,
        end - first
    )
}

fn scale(ui: &Ui, lanes: Rect, span: f64, palette: &Palette) {
    let font = egui::FontId::proportional(10.0);
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let x = lanes.left() + lanes.width() * share as f32;
        let align = match part {
            0 => Align2::LEFT_BOTTOM,
            4 => Align2::RIGHT_BOTTOM,
            _ => Align2::CENTER_BOTTOM,
        };
        let at = pos2(x, lanes.bottom() + SCALE - 2.0);
        ui.painter().text(at, align, format!("{:.1} s", span * share), font.clone(), palette.weak);
    }
}

/// What the colours mean.
pub fn legend(ui: &mut Ui) {
    let palette = Palette::of(ui);
    for (name, color) in
        [("queued", palette.control_hovered), ("prefill", palette.prefill), ("decoding", palette.accent)]
    {
        let (rect, _) = ui.allocate_exact_size(vec2(STEP, STEP), Sense::hover());
        ui.painter().rect_filled(rect, CornerRadius::same(2), color);
        ui.label(theme::caption(ui, name));
        ui.add_space(HALF);
    }
}
