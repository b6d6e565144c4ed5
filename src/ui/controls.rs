//! The column of controls of the next parallel run, with the memory it will need.

use super::scene::Scene;
use super::theme::{CONTROL_HEIGHT, Palette, STEP};
use super::widgets;
use crate::protocol::{Execution, ParallelConfig, bytes};
use crate::state::{DEFAULT_STALL_MS, RunAction, SESSION_RANGE, STALL_RANGE};
use egui::{DragValue, Label, RichText, Ui, vec2};

/// Draws the controls.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    widgets::section(ui, "Run");
    let parallel = &mut scene.settings.parallel;
    widgets::slider(ui, "Sessions", &mut parallel.sessions, SESSION_RANGE, |slider| slider, whole);
    widgets::slider(
        ui,
        "Temperature",
        &mut parallel.temperature,
        0.0..=2.0,
        |slider| slider.step_by(0.05),
        |value| format!("{value:.2}"),
    );
    let help = "Spreads the temperature over the sessions: the first gets 0, the last the slider's value";
    widgets::switch(ui, &mut scene.settings.ladder, "Temperature ladder", help);
    let parallel = &mut scene.settings.parallel;
    let limit = DragValue::new(&mut parallel.max_tokens).range(1..=32_768).speed(4);
    widgets::number(ui, "Max tokens", "The most tokens of each session's answer", limit);
    execution(ui, scene);
    stall(ui, scene);
    race(ui, scene);

    widgets::section(ui, "Sampling");
    let parallel = &mut scene.settings.parallel;
    let top_p = DragValue::new(&mut parallel.top_p).range(0.01..=1.0).speed(0.01).fixed_decimals(2);
    widgets::number(
        ui,
        "Top-p",
        "Draws from the smallest set of tokens whose probabilities reach this sum; 1 keeps all",
        top_p,
    );
    let top_k = DragValue::new(&mut parallel.top_k).range(0..=1000);
    widgets::number(ui, "Top-k", "Draws from the k most likely tokens; 0 keeps all", top_k);
    let min_p = DragValue::new(&mut parallel.min_p).range(0.0..=0.99).speed(0.01).fixed_decimals(2);
    widgets::number(
        ui,
        "Min-p",
        "Drops tokens less likely than this share of the most likely one's probability",
        min_p,
    );
    let penalty = DragValue::new(&mut parallel.repetition_penalty).range(0.1..=2.0).speed(0.01).fixed_decimals(2);
    widgets::number(
        ui,
        "Repetition penalty",
        "Above 1 makes tokens that came already less likely; 1 changes nothing",
        penalty,
    );
    let seed = DragValue::new(&mut parallel.seed);
    widgets::number(ui, "Base seed", "Session i samples with this seed + i × 1000", seed);

    widgets::section(ui, "Memory");
    let cache = DragValue::new(&mut parallel.cache_limit_mb).range(0..=65_536).suffix(" MB");
    widgets::number(ui, "Cache limit", "The most memory that MLX keeps for reuse", cache);
    memory(ui, scene);
    ui.add_space(STEP);
    if ui.button("Reset controls").on_hover_text("Back to the demo's settings and prompts").clicked() {
        scene.settings.parallel = ParallelConfig::default();
        scene.settings.ladder = false;
        scene.settings.max_stall_ms = DEFAULT_STALL_MS;
    }
}

fn stall(ui: &mut Ui, scene: &mut Scene<'_>) {
    let budget = &mut scene.settings.max_stall_ms;
    let slider = ui.scope(|ui| {
        widgets::slider(
            ui,
            "Stall budget",
            budget,
            STALL_RANGE,
            |slider| slider.step_by(10.0),
            |value| format!("{value:.0} ms"),
        );
    });
    slider.response.on_hover_text(
        "The longest that reading a prompt may hold up answers that are being given; applies at once, also to the run \
         that is on",
    );
}

fn race(ui: &mut Ui, scene: &mut Scene<'_>) {
    let can_race = !scene.state.run_is_active() && scene.state.run_obstacle().is_none();
    let help = "Runs these sessions serialized and then batched, and shows both clocks";
    let size = vec2(ui.available_width(), CONTROL_HEIGHT);
    ui.add_enabled_ui(can_race, |ui| {
        if ui.add_sized(size, egui::Button::new("Race")).on_hover_text(help).clicked() {
            scene.run(RunAction::Race);
        }
    });
}

fn execution(ui: &mut Ui, scene: &mut Scene<'_>) {
    let exact = scene.state.model.loaded().map(|model| model.facts.exact_width.clone());
    ui.horizontal(|ui| {
        ui.label("Execution");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let chosen = &mut scene.settings.parallel.execution;
            let combo =
                egui::ComboBox::from_id_salt("execution").selected_text(chosen.name()).width(112.0).show_ui(ui, |ui| {
                    for execution in Execution::ALL {
                        let refusal = match (execution, &exact) {
                            (Execution::Exact, Some(Err(reason))) => Some(reason),
                            _ => None,
                        };
                        let item = egui::Button::selectable(*chosen == execution, execution.name());
                        let response = ui.add_enabled(refusal.is_none(), item).on_hover_text(meaning(execution));
                        let response = match refusal {
                            Some(reason) => response.on_disabled_hover_text(reason),
                            None => response,
                        };
                        if response.clicked() {
                            *chosen = execution;
                            ui.close();
                        }
                    }
                });
            combo.response.on_hover_text(meaning(scene.settings.parallel.execution)).accessible_name("Execution");
        });
    });
}

fn meaning(execution: Execution) -> &'static str {
    match execution {
        Execution::Serialized => "Each session decodes by itself; steps take turns",
        Execution::Batched => "All sessions share each step's matrix products",
        Execution::Exact => "Batched, and a session's tokens never depend on its neighbours",
    }
}

/// What the next run will need, against what is there.
fn memory(ui: &mut Ui, scene: &Scene<'_>) {
    let Some(prediction) = scene.state.prediction() else { return };
    let palette = Palette::of(ui);
    let share = prediction.needed() as f32 / prediction.there.max(1) as f32;
    let color = if prediction.fits() { palette.accent } else { palette.bad };
    widgets::progress(ui, share, color, "Memory that the run will need");
    let words = format!(
        "Needs {} of {}\nWeights {} + KV caches {}",
        bytes(prediction.needed()),
        bytes(prediction.there),
        bytes(prediction.weights),
        bytes(prediction.kv_caches)
    );
    let color = if prediction.fits() { palette.weak } else { palette.bad };
    ui.add(Label::new(RichText::new(words).small().color(color)).wrap());
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// Draws what keeps the next run from starting; false where nothing does, or something that is plain to see.
pub fn obstacle(ui: &mut Ui, scene: &Scene<'_>) -> bool {
    let is_plain = scene.state.is_busy() || scene.state.model.loaded().is_none();
    let Some(obstacle) = scene.state.run_obstacle().filter(|_| !is_plain) else { return false };
    ui.add(Label::new(RichText::new(obstacle).small().color(Palette::of(ui).bad)).wrap());
    true
}
