//! A sweep's curves over the number of sessions.

use super::theme::{self, HALF, Palette, STEP};
use crate::protocol::{Execution, ScalingRow};
use crate::state::ScalingState;
use egui::accesskit::Role;
use egui::{Align, Align2, Color32, Layout, Sense, Ui, Vec2, WidgetInfo, vec2};
use egui_plot::{AxisHints, GridMark, HoverPosition, Line, Plot, PlotPoint, PlotPoints, PlotUi, Points, Text};

/// What one chart shows of each row.
struct Figure {
    title: &'static str,
    /// What stands beside the title where there is room.
    detail: &'static str,
    unit: &'static str,
    of: fn(&ScalingRow) -> Option<f64>,
    /// Whether the knees are marked.
    has_knee: bool,
}

const FIGURES: [Figure; 2] = [
    Figure {
        title: "Throughput",
        detail: "tokens/s",
        unit: "tokens/s",
        of: |row| Some(row.tokens_per_second),
        has_knee: true,
    },
    Figure { title: "Speed-up", detail: "over serialized", unit: "×", of: |row| row.speed_up, has_knee: false },
];

/// Width at which a heading has room for more than its title and the curves' names.
const WIDE: f32 = 300.0;

/// Room that the curves' names need.
const LEGEND: f32 = 184.0;

/// Room above the highest point, for a knee's mark.
const HEADROOM: f64 = 1.2;

/// The colour of an execution's curve.
pub fn color(palette: &Palette, execution: Execution) -> Color32 {
    match execution {
        Execution::Serialized => palette.weak,
        Execution::Batched => palette.accent_text,
        Execution::Exact => palette.good,
    }
}

/// Draws both charts side by side, over the available width.
pub fn show(ui: &mut Ui, sweep: &ScalingState, height: f32) {
    let width = ((ui.available_width() - STEP) / 2.0).floor();
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = STEP;
        for figure in &FIGURES {
            let inner = vec2(width, height) - Vec2::splat(2.0 * STEP + 2.0);
            theme::card(ui).show(ui, |ui| {
                ui.allocate_ui_with_layout(inner, Layout::top_down(Align::Min), |ui| {
                    ui.set_min_size(inner);
                    chart(ui, sweep, figure);
                });
            });
        }
    });
}

fn chart(ui: &mut Ui, sweep: &ScalingState, figure: &Figure) {
    heading(ui, sweep, figure);
    let curves: Vec<(Execution, Vec<(u32, f64)>)> =
        sweep.executions().map(|execution| (execution, sweep.curve(execution, figure.of))).collect();
    let size = ui.available_size();
    if curves.iter().all(|(_, curve)| curve.is_empty()) {
        ui.add_space((size.y / 2.0 - 2.0 * STEP).max(0.0));
        let missing = if figure.has_knee { "No run has ended yet" } else { "Needs serialized runs to compare with" };
        ui.vertical_centered(|ui| ui.label(theme::caption(ui, missing)));
        return;
    }
    let palette = *Palette::of(ui);
    let most = f64::from(sweep.settings.most_log2);
    let top = curves.iter().flat_map(|(_, curve)| curve).map(|point| point.1).fold(0.0, f64::max).max(1e-9);
    let unit = figure.unit;
    let plot = Plot::new(("scaling", figure.title))
        .width(size.x)
        .height(size.y)
        .show_background(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .sense(Sense::hover())
        .grid_color(palette.line)
        .grid_fade(0.0)
        .custom_x_axes(vec![
            ticks(AxisHints::new_x(), &palette)
                .label(theme::caption(ui, "sessions at once"))
                .label_spacing(2.0 * STEP..=2.0 * STEP + 1.0)
                .formatter(|mark, _| sessions(mark.value).to_string()),
        ])
        .custom_y_axes(vec![ticks(AxisHints::new_y(), &palette).formatter(|mark, _| amount(mark))])
        .x_grid_spacer(|_| {
            let marks = 0..=sweep.settings.most_log2;
            marks.map(|exponent| GridMark { value: f64::from(exponent), step_size: 1.0 }).collect()
        })
        .y_grid_spacer(move |_| {
            let step = nice_step(top * HEADROOM / 5.0);
            let values = (0..=5).map(|place| step * f64::from(place));
            // A label on the upper edge would stand outside of the chart.
            let inside = values.filter(|value| *value <= top * HEADROOM * 0.97);
            inside.map(|value| GridMark { value, step_size: step }).collect()
        })
        .label_formatter(move |hover| match hover {
            HoverPosition::NearDataPoint { plot_name, position, .. } if !plot_name.is_empty() => {
                Some(format!("{plot_name}, {} sessions: {:.1} {unit}", sessions(position.x), position.y))
            }
            _ => None,
        });
    let shown = plot.show(ui, |plot| {
        plot.set_plot_bounds_x(-0.25..=most + 0.25);
        plot.set_plot_bounds_y(0.0..=top * HEADROOM);
        for (execution, curve) in &curves {
            let color = color(&palette, *execution);
            draw(plot, *execution, curve, color);
            if let Some(knee) = sweep.knee(*execution).filter(|_| figure.has_knee) {
                mark_knee(plot, knee, top, color);
            }
        }
    });
    let words = words(sweep, figure, &curves);
    shown.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
}

/// Small and calm words at an axis.
fn ticks(axis: AxisHints<'static>, palette: &Palette) -> AxisHints<'static> {
    axis.tick_label_font(egui::FontId::proportional(theme::SMALL_SIZE)).tick_label_color(palette.weak)
}

/// The value of a mark, as exact as the step to the next one.
fn amount(mark: GridMark) -> String {
    let decimals = (-mark.step_size.log10().floor()).max(0.0) as usize;
    format!("{:.decimals$}", mark.value)
}

/// The next number above `least` that people like to count in: 1, 2 or 5 times a power of ten.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(least)
}

/// The sessions at a place of the logarithmic scale.
fn sessions(place: f64) -> u32 {
    place.exp2().round() as u32
}

fn point(&(sessions, value): &(u32, f64)) -> [f64; 2] {
    [f64::from(sessions).log2(), value]
}

fn draw(plot: &mut PlotUi<'_>, execution: Execution, curve: &[(u32, f64)], color: Color32) {
    let points = || PlotPoints::from_iter(curve.iter().map(point));
    plot.line(Line::new("", points()).color(color).width(2.0).allow_hover(false));
    plot.points(Points::new(execution.name(), points()).color(color).radius(3.0));
}

fn mark_knee(plot: &mut PlotUi<'_>, knee: (u32, f64), top: f64, color: Color32) {
    let [x, y] = point(&knee);
    let ring = Points::new("", vec![[x, y]]).color(color).filled(false).radius(7.0).allow_hover(false);
    plot.points(ring);
    let above = PlotPoint::new(x, y + 0.06 * top);
    let words = egui::RichText::new(format!("knee at {}", knee.0)).font(theme::semibold(12.0));
    plot.text(Text::new("", above, words).color(color).anchor(Align2::CENTER_BOTTOM).allow_hover(false));
}

fn heading(ui: &mut Ui, sweep: &ScalingState, figure: &Figure) {
    let palette = Palette::of(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().interact_size.y = 2.0 * STEP;
        ui.spacing_mut().item_spacing.x = HALF;
        ui.label(theme::title(figure.title));
        if ui.available_width() > WIDE {
            ui.label(theme::caption(ui, figure.detail));
        }
        if ui.available_width() < LEGEND {
            // The table has the same colours.
            return;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let executions: Vec<Execution> = sweep.executions().collect();
            for execution in executions.into_iter().rev() {
                ui.label(theme::caption(ui, execution.name()));
                let (rect, _) = ui.allocate_exact_size(Vec2::splat(STEP), Sense::hover());
                ui.painter().circle_filled(rect.center(), HALF, color(palette, execution));
                ui.add_space(HALF);
            }
        });
    });
}

/// The chart for those who can't see it.
fn words(sweep: &ScalingState, figure: &Figure, curves: &[(Execution, Vec<(u32, f64)>)]) -> String {
    let mut words = format!("{} {}:", figure.title, figure.detail);
    for (execution, curve) in curves {
        let points: Vec<String> = curve.iter().map(|(sessions, value)| format!("{value:.1} at {sessions}")).collect();
        words.push_str(&format!(" {execution} {};", points.join(", ")));
        if let Some((sessions, _)) = sweep.knee(*execution).filter(|_| figure.has_knee) {
            words.push_str(&format!(" {execution} bends at {sessions};"));
        }
    }
    words.trim_end_matches(';').to_owned()
}
