//! The replay of a run's sessions: its button, how far it has come, and a badge on each panel.

use super::scene::Scene;
use super::theme::{self, Palette};
use super::widgets;
use crate::protocol::Replay;
use crate::state::{Panel, RunAction, RunState, Verification};
use egui::accesskit::Role;
use egui::{Button, Label, RichText, Ui, WidgetInfo};

/// Draws the button that starts a replay, or its progress and the button that stops it.
pub fn button(ui: &mut Ui, scene: &mut Scene<'_>) {
    if let Some(Verification::Running { sessions, done }) = &scene.state.verification {
        if ui.button("Stop").on_hover_text("Stop verifying; what was found stays").clicked() {
            scene.run(RunAction::StopVerifying);
        }
        ui.label(theme::caption(ui, format!("Verified {done} of {}", sessions.len())));
        widgets::spinner(ui, 14.0);
        return;
    }
    let obstacle = scene.state.verify_obstacle();
    let help = "Replays each session alone and compares every token";
    let response = ui.add_enabled(obstacle.is_none(), Button::new("Verify")).on_hover_text(help);
    let response = match obstacle {
        Some(obstacle) => response.on_disabled_hover_text(obstacle),
        None => response,
    };
    if response.clicked() {
        scene.run(RunAction::Verify);
    }
}

/// Says what replays found, among the run's figures.
pub fn findings(ui: &mut Ui, scene: &Scene<'_>, run: &RunState) {
    let palette = Palette::of(ui);
    if let Some(Verification::Failed(message)) = &scene.state.verification {
        let words = RichText::new(format!("Verifying broke: {message}")).small().color(palette.bad);
        ui.add(Label::new(words).truncate()).on_hover_text(message);
    }
    let totals = run.replay_totals();
    let replayed = totals.replayed();
    if replayed == 0 {
        return;
    }
    let (words, color) = if totals.exact == replayed {
        (format!("{replayed} of {replayed} exact"), palette.good)
    } else if totals.differing > 0 {
        (format!("{} of {replayed} differ", totals.differing), palette.bad)
    } else {
        (format!("{} of {replayed} not verified", totals.failed), palette.bad)
    };
    ui.label(RichText::new(words).small().color(color)).on_hover_text("Against the same sessions run alone");
}

/// Draws what a session's replay found, if it was replayed.
pub fn badge(ui: &mut Ui, scene: &Scene<'_>, panel: &Panel) {
    let palette = Palette::of(ui);
    let id = panel.id;
    let (words, name, help, color, fill) = match &panel.replay {
        _ if scene.state.verification.as_ref().and_then(Verification::current) == Some(id) => {
            let help = "It is being run once more, alone".to_owned();
            ("verifying".to_owned(), format!("Session {id} is being verified"), help, palette.weak, palette.control)
        }
        None => return,
        Some(Replay::Exact) => {
            let help = "Alone, this session gives the same tokens".to_owned();
            ("exact".to_owned(), format!("Session {id} is exact"), help, palette.good, palette.control)
        }
        Some(Replay::Differs { position, start, end, alone }) => {
            let help = format!(
                "Token {position} is the first that differs: {} here, {} alone",
                quoted(panel.text.get(*start..*end)),
                quoted(alone.as_deref())
            );
            let name = format!("Session {id} differs at token {position}");
            (format!("differs at {position}"), name, help, palette.bad, palette.bad_faint)
        }
        Some(Replay::Failed { error }) => {
            let name = format!("Session {id} could not be verified");
            ("not verified".to_owned(), name, error.clone(), palette.bad, palette.bad_faint)
        }
    };
    let response = widgets::badge(ui, &words, color, fill);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
    response.on_hover_text(help);
}

fn quoted(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => format!("“{text}”"),
        _ => "its end".to_owned(),
    }
}
