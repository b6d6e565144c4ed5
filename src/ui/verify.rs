//! The replay of a run's sessions: its button, how far it has come, and a badge on each panel.

use super::scene::Scene;
use super::theme::Palette;
use super::widgets::{self, Words};
use crate::protocol::Replay;
use crate::state::{Panel, RunAction, RunState, Verification};
use egui::accesskit::Role;
use egui::{Button, Ui, WidgetInfo};

/// Draws the button that starts a replay, or its progress and the button that stops it.
pub fn button(ui: &mut Ui, scene: &mut Scene<'_>) {
    if scene.state.is_verifying() {
        if ui.button("Stop").on_hover_text("Stop verifying; what was found stays").clicked() {
            scene.run(RunAction::StopVerifying);
        }
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

/// What replays found so far, to stand among the run's states.
pub fn findings(ui: &Ui, scene: &Scene<'_>, run: &RunState) -> Vec<Words> {
    let palette = Palette::of(ui);
    let mut findings = Vec::new();
    match &scene.state.verification {
        Some(Verification::Running { sessions, done }) => {
            let text = format!("Verified {done} of {}", sessions.len());
            return vec![Words {
                text,
                color: palette.weak,
                help: Some("Each session is run once more, alone".into()),
            }];
        }
        Some(Verification::Failed(message)) => {
            let text = format!("Verifying broke: {message}");
            findings.push(Words { help: Some(text.clone()), text, color: palette.bad });
        }
        None => {}
    }
    let totals = run.replay_totals();
    let replayed = totals.replayed();
    let (text, color) = if replayed == 0 {
        return findings;
    } else if totals.exact == replayed {
        (format!("{replayed} of {replayed} exact"), palette.good)
    } else if totals.same_text == replayed {
        (format!("{replayed} of {replayed} with the same text"), palette.good)
    } else if totals.differing > 0 {
        (format!("{} of {replayed} differ", totals.differing), palette.bad)
    } else {
        (format!("{} of {replayed} not verified", totals.failed), palette.bad)
    };
    findings.push(Words { text, color, help: Some("Against the same sessions run alone".into()) });
    findings
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
        Some(Replay::SameText) => {
            let help = "Alone, this session gives the same text; its engine tells no tokens".to_owned();
            ("same text".to_owned(), format!("Session {id} has the same text"), help, palette.good, palette.control)
        }
        Some(Replay::TextDiffers { character, start, end, alone }) => {
            let help = format!(
                "Character {character} is the first that differs: {} here, {} alone",
                quoted(panel.text.get(*start..*end)),
                quoted(alone.as_deref().and_then(|rest| rest.get(..rest.chars().next()?.len_utf8())))
            );
            let name = format!("Session {id} differs at character {character}");
            (format!("differs at character {character}"), name, help, palette.bad, palette.bad_faint)
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
