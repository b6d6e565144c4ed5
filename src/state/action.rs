//! What a person asked for while the window was drawn; applied after drawing.

use super::{ExportFormat, ResultOrder, Settings};
use crate::protocol::{ModelSource, ParallelConfig, SessionId};
use std::path::PathBuf;

/// What a person asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Settings changed.
    Settings(Box<Settings>),
    /// Something else is to be shown.
    Show(Show),
    /// About the model.
    Model(ModelAction),
    /// About the parallel run.
    Run(RunAction),
    /// About the single prompt.
    Single(SingleAction),
    /// About the sweep over numbers of sessions.
    Scaling(ScalingAction),
    /// About files of runs.
    File(FileAction),
    /// Put text on the clipboard.
    Copy(String),
    /// Close the window.
    Quit,
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// A sheet over the window, or none.
    Sheet(Option<Sheet>),
    /// One panel over all others, or the grid.
    Maximised(Option<SessionId>),
    /// The finished run's panels or its table.
    Results(bool),
    /// The results table in another order.
    Order(ResultOrder),
    /// A notice was read.
    DismissNotice(usize),
}

/// A sheet over the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Sheet {
    /// Choose a model.
    Models,
    /// Choose an example prompt.
    Presets,
    /// Choose a run that ended.
    RecentRuns,
    /// Theme, zoom, cache limit.
    Settings,
    /// The keyboard's ways.
    Shortcuts,
    /// A run is on: load the other model all the same?
    ConfirmModel(ModelSource),
}

/// About the model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelAction {
    /// Load this one.
    Choose(ModelSource),
    /// Load this one although a run is on, which is stopped.
    ChooseAnyway(ModelSource),
    /// Choose a folder through the system's dialog.
    FolderDialog,
    /// Choose a .gguf through the system's dialog.
    FileDialog,
    /// Try the failed one again, or go on with the paused one.
    Retry,
    /// Stop the download and keep what came of it.
    Pause,
    /// Give up on the one that is coming, and throw away what a download left.
    Cancel,
}

/// About the parallel run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunAction {
    /// Start one.
    Start,
    /// Start one with just these settings.
    Begin(Box<ParallelConfig>),
    /// Stop all sessions, and whatever else the model is busy with.
    StopAll,
    /// Stop one session.
    Stop(SessionId),
    /// Run one session again with its own seed.
    Again(SessionId),
    /// Take the run's panels away, so that prompts can be edited.
    Clear,
    /// Run the same sessions serialized and then batched.
    Race,
    /// Replay the sessions of the run that is shown, alone.
    Verify,
    /// Stop replaying.
    StopVerifying,
}

/// About the sweep over numbers of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingAction {
    /// Start one.
    Start,
    /// Stop it.
    Stop,
    /// Save what it gave, through the system's dialog.
    Export(ScalingFormat),
}

/// What a sweep is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingFormat {
    /// Its curves, as they look in the window.
    Png,
    /// Its rows, for spreadsheets.
    Csv,
}

impl ScalingFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Png, Self::Csv];

    /// The name shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Csv => "CSV",
        }
    }

    /// The file's extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Csv => "csv",
        }
    }
}

/// About the single prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum SingleAction {
    /// Generate an answer.
    Generate,
    /// Stop it.
    Stop,
}

/// About files of runs.
#[derive(Clone, Debug, PartialEq)]
pub enum FileAction {
    /// Save the run that is shown, through the system's dialog.
    Export(ExportFormat),
    /// Choose a run's file through the system's dialog and show it.
    Open,
    /// Show the run in this file.
    OpenRecent(PathBuf),
}
