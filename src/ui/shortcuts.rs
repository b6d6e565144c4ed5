//! The keyboard's ways: Cmd on macOS, Ctrl elsewhere.

use super::scene::Scene;
use super::single::PROMPT_ID;
use crate::state::{ExportFormat, FileAction, RunAction, ScalingAction, Sheet, Show, SingleAction, View};
use egui::text_selection::LabelSelectionState;
use egui::{Context, Event, Id, Key, KeyboardShortcut, Modifiers};

/// Runs the parallel demo.
pub const RUN: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::R);
/// Generates or runs, also while a prompt is being edited.
pub const GENERATE: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Enter);
/// Stops, beside Esc.
pub const STOP: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Period);
/// Opens the settings.
pub const SETTINGS: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Comma);
/// Opens a run.
pub const OPEN: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::O);
/// Saves the finished run.
pub const EXPORT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::S);
/// Chooses a model.
pub const MODEL: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::L);
/// Lists the shortcuts.
pub const HELP: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Slash);
/// Closes the window, which ends the program.
pub const QUIT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Q);
/// The same.
pub const CLOSE: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::W);

/// The keys and what they do, for the sheet that lists them.
pub fn list(context: &Context) -> Vec<(String, &'static str)> {
    let keys = |shortcut: &KeyboardShortcut| {
        let signs = [("Comma", ","), ("Period", "."), ("Slash", "/"), ("Plus", "+"), ("Minus", "-")];
        let words = context.format_shortcut(shortcut);
        signs.iter().fold(words, |words, (name, sign)| words.replace(name, sign))
    };
    vec![
        ("Return".into(), "Generate, run the sessions, or run the sweep"),
        (keys(&GENERATE), "The same, also while a prompt is edited"),
        (keys(&RUN), "Run Parallel Demo"),
        (format!("Esc or {}", keys(&STOP)), "Stop"),
        (keys(&KeyboardShortcut::new(Modifiers::COMMAND, Key::C)), "Copy the selected text, or the whole answer"),
        (keys(&MODEL), "Choose a model"),
        (keys(&OPEN), "Open run"),
        (keys(&EXPORT), "Export run"),
        (keys(&SETTINGS), "Settings"),
        (keys(&HELP), "This list"),
        (keys(&KeyboardShortcut::new(Modifiers::COMMAND, Key::Plus)), "Larger"),
        (keys(&KeyboardShortcut::new(Modifiers::COMMAND, Key::Minus)), "Smaller"),
        (keys(&KeyboardShortcut::new(Modifiers::COMMAND, Key::Num0)), "Actual size"),
        ("Tab or Shift-Tab".into(), "To the next or previous control; Space presses it"),
        ("Page Up or Page Down".into(), "Scroll the panels, or the answer"),
        (format!("{} or {}", keys(&QUIT), keys(&CLOSE)), "Quit"),
    ]
}

/// Turns keys into actions, before any control sees them.
pub fn handle(context: &Context, scene: &mut Scene<'_>) {
    let consume = |shortcut: &KeyboardShortcut| context.input_mut(|input| input.consume_shortcut(shortcut));
    if consume(&QUIT) || consume(&CLOSE) {
        scene.actions.push(crate::state::Action::Quit);
    }
    if scene.state.sheet.is_some() {
        // An open sheet has the keyboard: it closes on Esc by itself.
        return;
    }
    if consume(&SETTINGS) {
        scene.open(Sheet::Settings);
    }
    if consume(&MODEL) {
        scene.open(Sheet::Models);
    }
    if consume(&HELP) {
        scene.open(Sheet::Shortcuts);
    }
    if consume(&OPEN) {
        scene.file(FileAction::Open);
    }
    if consume(&EXPORT) {
        scene.file(FileAction::Export(ExportFormat::Json));
    }
    if consume(&RUN) {
        run(scene);
    }
    if consume(&GENERATE) || plain_return(context) {
        match scene.state.settings.view {
            View::Single => generate(scene),
            View::Parallel => run(scene),
            View::Scaling => sweep(scene),
        }
    }
    let is_editing = context.text_edit_focused();
    if consume(&STOP) || context.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape)) {
        stop(scene);
    }
    if !is_editing && context.input(|input| input.events.contains(&Event::Copy)) {
        copy(context, scene);
    }
}

/// Return without a modifier, where neither a button nor another text field waits for it.
fn plain_return(context: &Context) -> bool {
    let focused = context.memory(|memory| memory.focused());
    let is_ours = focused.is_none_or(|id| id == Id::unique(PROMPT_ID));
    is_ours && context.input_mut(|input| input.modifiers.is_none() && input.consume_key(Modifiers::NONE, Key::Enter))
}

fn run(scene: &mut Scene<'_>) {
    if !scene.state.run_is_active() && scene.state.run_obstacle().is_none() {
        scene.run(RunAction::Start);
    }
}

fn sweep(scene: &mut Scene<'_>) {
    if !scene.state.is_scaling() && scene.state.scaling_obstacle().is_none() {
        scene.scaling(ScalingAction::Start);
    }
}

fn generate(scene: &mut Scene<'_>) {
    let can_start = !scene.state.is_busy() && scene.state.model.loaded().is_some();
    if can_start && !scene.state.settings.single.prompt.trim().is_empty() {
        scene.single(SingleAction::Generate);
    }
}

fn stop(scene: &mut Scene<'_>) {
    if scene.state.run_is_active() {
        scene.run(RunAction::StopAll);
    } else if scene.state.single.is_generating() {
        scene.single(SingleAction::Stop);
    } else if scene.state.is_scaling() {
        scene.scaling(ScalingAction::Stop);
    } else if scene.state.is_verifying() {
        scene.run(RunAction::StopVerifying);
    } else if scene.state.maximised.is_some() {
        scene.show(Show::Maximised(None));
    }
}

/// Where no text is selected, copying takes the whole answer, or the panel that covers the others.
fn copy(context: &Context, scene: &mut Scene<'_>) {
    let has_selection = context.plugin::<LabelSelectionState>().lock().has_selection();
    if has_selection {
        return;
    }
    match scene.state.settings.view {
        View::Single => scene.copy(scene.state.single.answer()),
        View::Scaling => {}
        View::Parallel => {
            let maximised = scene.state.maximised.and_then(|id| scene.state.run.as_ref()?.panels.get(id.0 as usize));
            if let Some(panel) = maximised {
                scene.copy(panel.text.clone());
            }
        }
    }
}
