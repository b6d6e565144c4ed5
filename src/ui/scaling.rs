//! The scaling view: a sweep over numbers of sessions, its charts and its table.

use super::scene::Scene;
use super::theme::{self, CONTROL_HEIGHT, Palette, STEP};
use super::{chart, widgets};
use crate::protocol::{Execution, ScalingRow, bytes, milliseconds, or_nothing, rate};
use crate::state::{MOST_LOG2, ScalingAction, ScalingFormat, ScalingPhase, ScalingState};
use egui::{Align, DragValue, Label, Layout, RichText, ScrollArea, Ui, vec2};
use egui_extras::{Column, TableBuilder};

/// The least height of the charts.
const CHART_MIN_HEIGHT: f32 = 176.0;
/// The share of the height that the charts take.
const CHART_SHARE: f32 = 0.55;

/// Draws the column of controls of the next sweep.
pub fn show_options(ui: &mut Ui, scene: &mut Scene<'_>) {
    widgets::section(ui, "Sweep");
    let refusal = scene.state.model.loaded().and_then(|model| model.facts.exact_width.as_ref().err());
    for execution in Execution::ALL {
        let refusal = refusal.filter(|_| execution == Execution::Exact);
        let label = format!("Run {execution}");
        let help = refusal.map_or_else(|| format!("Runs the sessions in {execution} execution"), Clone::clone);
        ui.add_enabled_ui(refusal.is_none(), |ui| {
            widgets::switch(ui, scene.settings.scaling.switch(execution), &label, &help);
        });
    }
    let settings = &mut scene.settings.scaling;
    widgets::slider(
        ui,
        "Up to sessions",
        &mut settings.most_log2,
        MOST_LOG2,
        |slider| slider.step_by(1.0),
        |value| format!("{:.0}", value.exp2()),
    );
    let limit = DragValue::new(&mut settings.max_tokens).range(1..=32_768).speed(4);
    widgets::number(ui, "Max tokens", "The most tokens of each session's answer", limit);
    ui.add_space(STEP);
    let words = "Prompts, sampling and seed are those of the parallel view.";
    ui.add(Label::new(theme::caption(ui, words)).wrap());
}

/// Draws the sweep.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    theme::card(ui).show(ui, |ui| {
        ui.set_width(ui.available_width());
        header(ui, scene);
    });
    let Some(sweep) = &scene.state.scaling else { return empty(ui) };
    let height = (ui.available_height() * CHART_SHARE).max(CHART_MIN_HEIGHT);
    chart::show(ui, sweep, height);
    table(ui, sweep);
}

/// What stands in the place of the charts before the first sweep.
fn empty(ui: &mut Ui) {
    theme::card(ui).show(ui, |ui| {
        ui.set_min_size(ui.available_size());
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() / 2.0 - 4.0 * STEP).max(0.0));
            ui.label(theme::title("How far does it scale?"));
            let words = "A sweep runs 1, 2, 4 and more sessions and draws their throughput and speed-up";
            ui.label(theme::caption(ui, words));
        });
    });
}

fn header(ui: &mut Ui, scene: &mut Scene<'_>) {
    let sweep = scene.state.scaling.as_ref();
    let row = vec2(ui.available_width(), CONTROL_HEIGHT);
    ui.allocate_ui_with_layout(row, Layout::right_to_left(Align::Center), |ui| {
        buttons(ui, scene);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let (title, caption) = match sweep {
                Some(sweep) => (sweep.subject.clone(), status(sweep)),
                None => ("Scaling".to_owned(), "How throughput grows with the number of sessions".to_owned()),
            };
            ui.add(Label::new(theme::title(title)).truncate());
            ui.add(Label::new(theme::caption(ui, caption)).truncate());
        });
    });
    let palette = Palette::of(ui);
    if let Some(sweep) = sweep {
        let share = sweep.rows.len() as f32 / sweep.runs().max(1) as f32;
        let color = match sweep.phase {
            ScalingPhase::Running { .. } => palette.accent,
            ScalingPhase::Ended => palette.good,
            ScalingPhase::Stopped => palette.weak,
            ScalingPhase::Failed(_) => palette.bad,
        };
        widgets::progress(ui, share, color, "Progress of the sweep");
    }
    let problem = sweep.filter(|sweep| !sweep.is_running()).and_then(problem).or_else(|| obstacle(scene));
    if let Some(problem) = problem {
        ui.add(Label::new(RichText::new(problem).small().color(palette.bad)).wrap().selectable(true));
    }
}

fn buttons(ui: &mut Ui, scene: &mut Scene<'_>) {
    let size = vec2(112.0, CONTROL_HEIGHT);
    if scene.state.is_scaling() {
        if widgets::stop_button(ui, "Stop the sweep", true, size).on_hover_text("Esc").clicked() {
            scene.scaling(ScalingAction::Stop);
        }
    } else {
        let obstacle = scene.state.scaling_obstacle();
        let response = widgets::primary_button(ui, "Run the sweep", obstacle.is_none(), size);
        let response = match obstacle {
            Some(obstacle) => response.on_disabled_hover_text(obstacle),
            None => response,
        };
        if response.clicked() {
            scene.scaling(ScalingAction::Start);
        }
    }
    let has_rows = scene.state.scaling.as_ref().is_some_and(|sweep| !sweep.rows.is_empty());
    if has_rows {
        ui.add_enabled_ui(!scene.state.dialog_is_open, |ui| {
            ui.menu_button("Export", |ui| {
                for format in ScalingFormat::ALL {
                    if ui.button(format!("{}…", format.name())).clicked() {
                        scene.scaling(ScalingAction::Export(format));
                        ui.close();
                    }
                }
            });
        });
    }
}

/// Why nothing can start, where that isn't plain to see.
fn obstacle(scene: &Scene<'_>) -> Option<String> {
    scene.state.scaling_obstacle().filter(|_| !scene.state.is_busy() && scene.state.model.loaded().is_some())
}

/// Where the sweep stands, in words.
fn status(sweep: &ScalingState) -> String {
    let (done, runs) = (sweep.rows.len(), sweep.runs());
    match &sweep.phase {
        ScalingPhase::Running { execution, sessions: 1 } => {
            format!("Run {} of {runs}: {execution}, 1 session", done + 1)
        }
        ScalingPhase::Running { execution, sessions } => {
            format!("Run {} of {runs}: {execution}, {sessions} sessions", done + 1)
        }
        ScalingPhase::Ended => format!("{runs} runs of up to {} tokens a session", sweep.settings.max_tokens),
        ScalingPhase::Stopped => format!("Stopped after {done} of {runs} runs"),
        ScalingPhase::Failed(_) => format!("Broke after {done} of {runs} runs"),
    }
}

/// What went wrong, in words.
fn problem(sweep: &ScalingState) -> Option<String> {
    if let ScalingPhase::Failed(message) = &sweep.phase {
        return Some(message.clone());
    }
    let row = sweep.rows.iter().find(|row| row.failed > 0)?;
    let error = row.error.as_deref().unwrap_or("no reason given");
    let ScalingRow { failed, sessions, execution, .. } = row;
    Some(format!("{failed} of {sessions} sessions failed in {execution} execution, so it has no point there: {error}"))
}

/// The table's columns: heading, least width, and what a cell says.
type Cell = fn(&ScalingRow) -> String;
const COLUMNS: [(&str, f32, Cell); 9] = [
    ("Execution", 72.0, |row| row.execution.to_string()),
    ("Sessions", 56.0, |row| row.sessions.to_string()),
    ("Tokens/s", 56.0, |row| rate(row.tokens_per_second)),
    ("Each", 40.0, |row| rate(row.tokens_per_second_per_session)),
    ("First p50", 60.0, |row| milliseconds(row.time_to_first_token_p50_ms)),
    ("First p95", 60.0, |row| milliseconds(row.time_to_first_token_p95_ms)),
    ("Memory", 56.0, |row| or_nothing(row.peak_memory_bytes, bytes)),
    ("Speed-up", 56.0, |row| or_nothing(row.speed_up, |ratio| format!("{ratio:.2}×"))),
    ("Failed", 44.0, |row| row.failed.to_string()),
];

fn table(ui: &mut Ui, sweep: &ScalingState) {
    theme::card(ui).show(ui, |ui| {
        let height = (ui.available_height() - CONTROL_HEIGHT - STEP).max(64.0);
        ScrollArea::horizontal().auto_shrink(false).show(ui, |ui| rows(ui, sweep, height));
    });
}

fn rows(ui: &mut Ui, sweep: &ScalingState, height: f32) {
    let palette = *Palette::of(ui);
    let least = COLUMNS.map(|(_, width, _)| width);
    let spare = widgets::column_spare(ui, &least);
    let mut table = TableBuilder::new(ui)
        .striped(true)
        .auto_shrink(false)
        .min_scrolled_height(0.0)
        .max_scroll_height(height)
        .cell_layout(Layout::left_to_right(Align::Center));
    for width in least {
        table = table.column(Column::exact(width + spare).clip(true));
    }
    table
        .header(CONTROL_HEIGHT, |mut row| {
            for (place, (title, _, _)) in COLUMNS.into_iter().enumerate() {
                row.col(|ui| {
                    let text = RichText::new(title).font(theme::semibold(12.0)).color(palette.weak);
                    widgets::cell(ui, place > 0, |ui| drop(ui.add(Label::new(text).truncate())));
                });
            }
        })
        .body(|body| {
            body.rows(CONTROL_HEIGHT, sweep.rows.len(), |mut row| {
                let Some(figures) = sweep.rows.get(row.index()) else { return };
                for (place, (_, _, cell)) in COLUMNS.into_iter().enumerate() {
                    row.col(|ui| {
                        let color = if figures.failed > 0 {
                            palette.bad
                        } else if place == 0 {
                            chart::color(&palette, figures.execution)
                        } else {
                            palette.text
                        };
                        let text = RichText::new(cell(figures)).color(color);
                        widgets::cell(ui, place > 0, |ui| drop(ui.add(Label::new(text).truncate().selectable(true))));
                    });
                }
            });
        });
}
