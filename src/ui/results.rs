//! The table of a finished run's results, sortable by every column.

use super::icons::{self, Icon};
use super::scene::Scene;
use super::theme::{self, CONTROL_HEIGHT, HALF, Palette, STEP};
use super::widgets;
use crate::protocol::RunReport;
use crate::state::{ResultColumn, Show};
use egui::accesskit::Role;
use egui::{Align, Label, Layout, Rect, RichText, Sense, Ui, WidgetInfo, vec2};
use egui_extras::{Column, TableBuilder};

/// Draws the table of `report`.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, report: &RunReport) {
    theme::card(ui).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let average = format!(
                "Average performance: {:.2} tokens/sec across {} sessions",
                report.average_tokens_per_second,
                report.sessions.len()
            );
            ui.label(theme::title(average));
            ui.label(theme::caption(ui, format!("Total time: {:.2}s", report.wall_time_s)));
        });
        let height = (ui.available_height() - CONTROL_HEIGHT - 2.0 * STEP).max(96.0);
        egui::ScrollArea::horizontal().auto_shrink(false).show(ui, |ui| table(ui, scene, report, height));
    });
}

fn table(ui: &mut Ui, scene: &mut Scene<'_>, report: &RunReport, height: f32) {
    let order = scene.state.result_order;
    let places = order.sort(&report.sessions);
    let spare = widgets::column_spare(ui, &ResultColumn::ALL.map(width));
    let mut table = TableBuilder::new(ui)
        .striped(true)
        .auto_shrink(false)
        .max_scroll_height(height)
        .cell_layout(Layout::left_to_right(Align::Center));
    for column in ResultColumn::ALL {
        table = table.column(Column::exact(width(column) + spare).clip(true));
    }
    table
        .header(CONTROL_HEIGHT, |mut row| {
            for column in ResultColumn::ALL {
                row.col(|ui| widgets::cell(ui, is_figure(column), |ui| heading(ui, scene, column)));
            }
        })
        .body(|body| {
            body.rows(CONTROL_HEIGHT, places.len(), |mut row| {
                let Some(session) = places.get(row.index()).and_then(|place| report.sessions.get(*place)) else {
                    return;
                };
                for column in ResultColumn::ALL {
                    row.col(|ui| {
                        widgets::cell(ui, is_figure(column), |ui| {
                            ui.add(Label::new(column.cell(session)).truncate().selectable(true));
                        });
                    });
                }
            });
        });
}

/// The least width of a column: its heading's.
fn width(column: ResultColumn) -> f32 {
    match column {
        ResultColumn::Session | ResultColumn::Duration => 56.0,
        ResultColumn::Tokens | ResultColumn::PromptTokens => 48.0,
        ResultColumn::Finish | ResultColumn::FirstToken => 72.0,
        ResultColumn::Rate => 56.0,
        ResultColumn::Seed | ResultColumn::Temperature => 44.0,
    }
}

fn is_figure(column: ResultColumn) -> bool {
    !matches!(column, ResultColumn::Session | ResultColumn::Finish)
}

fn heading(ui: &mut Ui, scene: &mut Scene<'_>, column: ResultColumn) {
    let palette = Palette::of(ui);
    let order = scene.state.result_order;
    let is_sorted = order.column == column;
    let color = if is_sorted { palette.accent_text } else { palette.weak };
    let text = RichText::new(column.title()).font(theme::semibold(12.0)).color(color);
    let response = ui.add(Label::new(text).sense(Sense::click()));
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Sort by {}", column.title())));
    if is_sorted {
        let icon = if order.is_descending { Icon::Down } else { Icon::Up };
        let beside = match is_figure(column) {
            true => response.rect.left_center() - vec2(STEP, 0.0),
            false => response.rect.right_center() + vec2(10.0, 0.0),
        };
        // The arrow of a narrow column stands in the step before it.
        let mut painter = ui.painter().clone();
        painter.set_clip_rect(ui.clip_rect().expand2(vec2(2.0 * STEP, 0.0)));
        icons::paint(&painter, Rect::from_center_size(beside, vec2(STEP, STEP)), icon, color);
    }
    widgets::focus_ring(ui, &response, response.rect.expand(HALF));
    if response.clicked() {
        scene.show(Show::Order(order.clicked(column)));
    }
}
