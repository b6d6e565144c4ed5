//! The panels of all sessions, in a grid that fits any window size; panels off screen are not laid out.

use super::panel;
use super::scene::Scene;
use super::stream_text::StreamText;
use super::theme::{PANEL_MIN_HEIGHT, PANEL_MIN_WIDTH, PANEL_SCROLLED_HEIGHT, STEP};
use super::widgets;
use egui::{Rect, ScrollArea, Ui, Vec2, pos2, vec2};

/// How a number of panels is laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridShape {
    /// Panels side by side.
    pub columns: usize,
    /// Panels one above the other.
    pub rows: usize,
    /// Of one panel.
    pub size: Vec2,
}

/// The proportions at which a panel's text reads best: width over height.
const READABLE: f32 = 1.2;

impl GridShape {
    /// The best shape for `count` panels in `room`: the one whose panels are closest to readable proportions while all
    /// fit; else as many columns as have room, scrolling.
    pub fn fit(count: usize, room: Vec2) -> Self {
        let count = count.max(1);
        let most = (((room.x + STEP) / (PANEL_MIN_WIDTH + STEP)).floor() as usize).clamp(1, count);
        let shape = |columns: usize| {
            let rows = count.div_ceil(columns);
            let width = (room.x - STEP * (columns - 1) as f32) / columns as f32;
            let height = (room.y - STEP * (rows - 1) as f32) / rows as f32;
            Self { columns, rows, size: vec2(width.floor(), height.floor()) }
        };
        let fitting = (1..=most).map(shape).filter(|shape| shape.size.y >= PANEL_MIN_HEIGHT);
        let unevenness = |shape: &Self| {
            let places = shape.columns * shape.rows;
            let empty = (places - count) as f32 / places as f32;
            (shape.size.x / shape.size.y / READABLE).ln().abs() + 4.0 * empty
        };
        let best = fitting.min_by(|one, other| unevenness(one).total_cmp(&unevenness(other)));
        best.unwrap_or_else(|| {
            let shape = shape(most);
            Self { size: vec2(shape.size.x, PANEL_SCROLLED_HEIGHT), ..shape }
        })
    }
}

/// Draws the run's panels, or the editable places of the next run where there is none.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, texts: &mut Vec<StreamText>) {
    let state = scene.state;
    let count = state.run.as_ref().map_or(scene.settings.parallel.sessions as usize, |run| run.panels.len());
    texts.resize_with(count.max(texts.len()), StreamText::default);
    let maximised = state
        .maximised
        .and_then(|id| Some((state.run.as_ref()?.panels.get(id.0 as usize)?, texts.get_mut(id.0 as usize)?)));
    if let Some((shown, text)) = maximised {
        let rect = ui.available_rect_before_wrap();
        return panel::show(ui, scene, shown, text, rect, true);
    }
    let shape = GridShape::fit(count, ui.available_size());
    let height = shape.rows as f32 * (shape.size.y + STEP) - STEP;
    // Columns end on whole points and together fill the row.
    let row = ui.available_width() + STEP;
    let edge = |column: usize| (row * column as f32 / shape.columns as f32).round();
    ScrollArea::vertical().id_salt("grid").auto_shrink(false).show_viewport(ui, |ui, viewport| {
        let origin = ui.max_rect().min;
        ui.expand_to_include_rect(Rect::from_min_size(origin, vec2(ui.available_width(), height)));
        for index in 0..count {
            let (row, column) = (index / shape.columns, index % shape.columns);
            let offset = vec2(edge(column), row as f32 * (shape.size.y + STEP));
            if offset.y > viewport.bottom() || offset.y + shape.size.y < viewport.top() {
                continue;
            }
            let size = vec2(edge(column + 1) - edge(column) - STEP, shape.size.y);
            let rect = Rect::from_min_size(pos2(origin.x, origin.y) + offset, size);
            match &state.run {
                Some(run) => {
                    if let (Some(shown), Some(text)) = (run.panels.get(index), texts.get_mut(index)) {
                        panel::show(ui, scene, shown, text, rect, false);
                    }
                }
                None => panel::show_draft(ui, scene, index as u32, rect),
            }
        }
        widgets::scroll_by_keyboard(ui);
    });
}
