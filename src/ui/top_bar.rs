//! The bar at the top: the model, what the middle shows, and the button that runs the parallel demo.

use super::icons::{self, Icon};
use super::scene::Scene;
use super::theme::{self, HALF, Palette, STEP};
use super::widgets;
use crate::protocol::parameters;
use crate::state::{ModelState, RunAction, RunPhase, Sheet, View, short_name};
use egui::accesskit::Role;
use egui::{Align, CornerRadius, Label, Layout, Rect, RichText, Sense, Ui, WidgetInfo, vec2};

/// Width of the arrow after the model's name.
const ARROW: f32 = 24.0;

/// Draws the bar.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let height = theme::TOP_BAR_HEIGHT - 2.0 * STEP;
    ui.allocate_ui_with_layout(vec2(ui.available_width(), height), Layout::right_to_left(Align::Center), |ui| {
        run_button(ui, scene);
        ui.add_space(HALF);
        ui.spacing_mut().item_spacing.x = 2.0;
        if widgets::icon_button(ui, Icon::Help, "Keyboard shortcuts", true).clicked() {
            scene.open(Sheet::Shortcuts);
        }
        if widgets::icon_button(ui, Icon::Settings, "Settings", true).clicked() {
            scene.open(Sheet::Settings);
        }
        if widgets::icon_button(ui, Icon::Recent, "Recent runs", true).clicked() {
            scene.open(Sheet::RecentRuns);
        }
        ui.add_space(STEP);
        widgets::segmented(
            ui,
            "View",
            &mut scene.settings.view,
            &[(View::Scaling, "Scaling"), (View::Parallel, "Parallel"), (View::Single, "Single")],
        );
        ui.add_space(STEP);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            model(ui, scene);
            if scene.state.is_busy() {
                ui.add_space(STEP);
                widgets::spinner(ui, 14.0);
                ui.add_space(HALF);
                if ui.available_width() > 80.0 {
                    ui.label(RichText::new(scene.state.busy_words()).small().color(Palette::of(ui).weak));
                }
            }
        });
    });
}

fn run_button(ui: &mut Ui, scene: &mut Scene<'_>) {
    let size = vec2(160.0, 32.0);
    match &scene.state.run {
        Some(run) if run.is_active() => {
            let can_stop = run.phase == RunPhase::Running;
            if widgets::stop_button(ui, "Stop All", can_stop, size).on_hover_text("Esc").clicked() {
                scene.run(RunAction::StopAll);
            }
        }
        _ => {
            let obstacle = scene.state.run_obstacle();
            let mut response = widgets::primary_button(ui, "Run Parallel Demo", obstacle.is_none(), size);
            response = response.on_hover_text(ui.ctx().format_shortcut(&super::shortcuts::RUN));
            if let Some(obstacle) = obstacle {
                response = response.on_disabled_hover_text(obstacle);
            }
            if response.clicked() {
                scene.run(RunAction::Start);
            }
        }
    }
}

/// The model's line; a click opens the picker.
fn model(ui: &mut Ui, scene: &mut Scene<'_>) {
    let palette = Palette::of(ui);
    let line = match &scene.state.model {
        ModelState::Absent => "No model".to_owned(),
        ModelState::Loading { source, .. } => format!("Loading {}", short_name(source)),
        ModelState::Paused { source, .. } => format!("{} is paused", short_name(source)),
        ModelState::Failed { source, .. } => format!("{} did not load", short_name(source)),
        ModelState::Loaded(model) => {
            let packed = model.facts.packed_bits.map(|bits| format!(" • {bits} bits")).unwrap_or_default();
            format!("{} • {} parameters{packed}", model.name, parameters(model.facts.parameters))
        }
    };
    let busy = if scene.state.is_busy() { 120.0 } else { 0.0 };
    let font = theme::semibold(theme::BODY_SIZE);
    let words = ui.fonts_mut(|fonts| fonts.layout_no_wrap(line.clone(), font, palette.text)).size().x;
    let width = (words.ceil() + ARROW).min(ui.available_width() - busy).clamp(120.0, 360.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 40.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Model: {line}")));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect.expand2(vec2(HALF, 0.0)), CornerRadius::same(6), palette.control);
    }
    let builder = egui::UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min));
    let mut text = ui.new_child(builder);
    text.spacing_mut().item_spacing.y = 0.0;
    text.add_space(2.0);
    text.set_max_width(width - ARROW);
    let caption = theme::caption(&text, "Model");
    text.label(caption);
    text.add(Label::new(theme::title(&line)).truncate());
    icons::paint(
        ui.painter(),
        Rect::from_center_size(rect.right_center() - vec2(8.0, 0.0), vec2(16.0, 16.0)),
        Icon::Down,
        palette.weak,
    );
    if response.on_hover_text("Choose a model").clicked() {
        scene.open(Sheet::Models);
    }
}
