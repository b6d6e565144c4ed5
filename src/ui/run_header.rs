//! The figures of the whole run, above its panels; they always sum up what the panels show.

use super::scene::Scene;
use super::theme::{self, HALF, Palette, STEP};
use super::{verify, widgets};
use crate::protocol::{bytes, or_nothing, rate, ratio};
use crate::state::{BUCKETS, ExportFormat, FileAction, RunAction, RunPhase, RunState, STATES, Show};
use egui::{Align, Layout, RichText, Sense, Ui, vec2};

/// Width of the first figure.
const THROUGHPUT: f32 = 104.0;
/// Width of all figures, with the steps between them and beside the curve.
const FIGURES: f32 = THROUGHPUT + 72.0 + 64.0 + 88.0 + 88.0 + 64.0 + 6.0 * STEP;

/// Draws the header of `run`.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, run: &RunState) {
    theme::card(ui).show(ui, |ui| {
        ui.set_width(ui.available_width());
        figures(ui, scene, run);
        ui.add_space(-HALF);
        states(ui, scene, run);
    });
}

fn figures(ui: &mut Ui, scene: &Scene<'_>, run: &RunState) {
    let palette = Palette::of(ui);
    let totals = run.totals();
    let room = ui.available_width();
    // In a narrow window the last figures stand below the first ones.
    ui.with_layout(Layout::left_to_right(Align::Min).with_main_wrap(true), |ui| {
        ui.spacing_mut().item_spacing.x = STEP;
        widgets::figure(ui, "Throughput", &rate(totals.tokens_per_second), "tok/s", THROUGHPUT);
        let rates: Vec<f32> = run.curve.rates().collect();
        // A run from a file has no curve.
        if run.is_active() || !rates.is_empty() {
            let width = (room - FIGURES).clamp(32.0, 320.0);
            let (rect, _) = ui.allocate_exact_size(vec2(width, 40.0), Sense::hover());
            widgets::curve(ui, rect, rates.into_iter(), BUCKETS, Align::Min, palette.accent_text);
        }
        widgets::figure(ui, "Total tokens", &totals.tokens.to_string(), "", 72.0);
        widgets::figure(ui, "Elapsed", &format!("{:.1}", run.elapsed_s), "s", 64.0);
        widgets::figure(ui, "Average", &rate(totals.average_tokens_per_second), "tok/s", 88.0)
            .on_hover_text("The mean of the sessions' own tokens per second");
        widgets::figure(ui, "Peak memory", &or_nothing(run.peak_memory_bytes, bytes), "", 88.0);
        let speed_up = run.speed_up(&scene.state.recent);
        let words = or_nothing(speed_up, ratio);
        widgets::figure(ui, "Speed-up", &words, "", 64.0)
            .on_hover_text("Against the last serialized run of the same settings");
    });
}

fn states(ui: &mut Ui, scene: &mut Scene<'_>, run: &RunState) {
    let palette = Palette::of(ui);
    let totals = run.totals();
    let size = vec2(ui.available_width(), theme::CONTROL_HEIGHT);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = STEP;
        if run.phase == RunPhase::Ended {
            ended(ui, scene, run);
        } else if scene.state.controls_moved() {
            ui.label(RichText::new("Changed controls apply to the next run").small().color(palette.warn));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let states = STATES.into_iter().zip(totals.states).filter(|(_, count)| *count > 0);
            let states = states.map(|(state, count)| {
                let text = format!("{count} {}", state.label());
                widgets::Words { text, color: palette.state(state), help: None }
            });
            let words: Vec<_> = states.chain(verify::findings(ui, scene, run)).collect();
            widgets::words_in_room(ui, &words);
        });
    });
}

fn ended(ui: &mut Ui, scene: &mut Scene<'_>, run: &RunState) {
    if run.report.is_some() {
        ui.menu_button("Export", |ui| {
            for format in ExportFormat::ALL {
                if ui.button(format!("{}…", format.name())).clicked() {
                    scene.file(FileAction::Export(format));
                    ui.close();
                }
            }
        });
    }
    if ui.button("Edit prompts").on_hover_text("Back to the prompts of the next run").clicked() {
        scene.run(RunAction::Clear);
    }
    verify::button(ui, scene);
    let mut shows_results = scene.state.shows_results;
    widgets::segmented(ui, "Show", &mut shows_results, &[(true, "Table"), (false, "Panels")]);
    if shows_results != scene.state.shows_results {
        scene.show(Show::Results(shows_results));
    }
}
