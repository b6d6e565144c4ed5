//! What drawing works with: the state to read, the settings to change, the actions to return.

use crate::state::{
    Action, AppState, FileAction, ModelAction, RunAction, ScalingAction, Settings, Sheet, Show, SingleAction,
};

/// What drawing works with.
pub struct Scene<'a> {
    /// What is shown.
    pub state: &'a AppState,
    /// The settings, to be changed by controls; what differs afterwards becomes an action.
    pub settings: Settings,
    /// What the person asked for.
    pub actions: Vec<Action>,
}

impl<'a> Scene<'a> {
    /// Begins a frame.
    pub fn new(state: &'a AppState) -> Self {
        Self { state, settings: state.settings.clone(), actions: Vec::new() }
    }

    /// Ends a frame: what the person asked for, changed settings first.
    pub fn finish(mut self) -> Vec<Action> {
        if self.settings != self.state.settings {
            self.actions.insert(0, Action::Settings(Box::new(self.settings)));
        }
        self.actions
    }

    /// Asks for something else to be shown.
    pub fn show(&mut self, show: Show) {
        self.actions.push(Action::Show(show));
    }

    /// Opens a sheet.
    pub fn open(&mut self, sheet: Sheet) {
        self.show(Show::Sheet(Some(sheet)));
    }

    /// Asks for something about the model.
    pub fn model(&mut self, action: ModelAction) {
        self.actions.push(Action::Model(action));
    }

    /// Asks for something about the parallel run.
    pub fn run(&mut self, action: RunAction) {
        self.actions.push(Action::Run(action));
    }

    /// Asks for something about the single prompt.
    pub fn single(&mut self, action: SingleAction) {
        self.actions.push(Action::Single(action));
    }

    /// Asks for something about the sweep over numbers of sessions.
    pub fn scaling(&mut self, action: ScalingAction) {
        self.actions.push(Action::Scaling(action));
    }

    /// Asks for something about files.
    pub fn file(&mut self, action: FileAction) {
        self.actions.push(Action::File(action));
    }

    /// Asks for text on the clipboard.
    pub fn copy(&mut self, text: impl Into<String>) {
        self.actions.push(Action::Copy(text.into()));
    }
}
