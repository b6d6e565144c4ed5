//! All that the window shows, in one place.

use super::{
    MachineMemory, MemoryCard, MemoryPrediction, ModelState, Preset, ResultOrder, RunRecord, RunState, Settings, Sheet,
    Show, SingleState, View,
};
use crate::protocol::{Execution, ListedModel, ParallelConfig, RunReport, SessionId};
use std::path::PathBuf;

/// How a notice looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Good to know.
    Info,
    /// Something did not work.
    Problem,
}

/// A message over the window's middle until it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How it looks.
    pub tone: Tone,
    /// What happened and what to do.
    pub text: String,
}

/// All that the window shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppState {
    /// Every setting that outlives the program.
    pub settings: Settings,
    /// The model.
    pub model: ModelState,
    /// Models to choose from.
    pub models: Vec<ListedModel>,
    /// The single prompt.
    pub single: SingleState,
    /// The parallel run that is on or ended last.
    pub run: Option<RunState>,
    /// The session whose panel covers the others.
    pub maximised: Option<SessionId>,
    /// Whether the finished run shows its table instead of its panels.
    pub shows_results: bool,
    /// The results table's order.
    pub result_order: ResultOrder,
    /// The sheet over the window.
    pub sheet: Option<Sheet>,
    /// Messages not read yet.
    pub notices: Vec<Notice>,
    /// Runs that ended, newest first.
    pub recent: Vec<RunRecord>,
    /// Example prompts.
    pub presets: Vec<Preset>,
    /// MLX's memory.
    pub memory: MemoryCard,
    /// The machine's memory.
    pub machine: MachineMemory,
    /// A file dialog is open: another one has to wait.
    pub dialog_is_open: bool,
}

impl AppState {
    /// Whether sessions of a parallel run are running.
    pub fn run_is_active(&self) -> bool {
        self.run.as_ref().is_some_and(RunState::is_active)
    }

    /// Whether the engine has work.
    pub fn is_busy(&self) -> bool {
        self.run_is_active() || self.single.is_generating()
    }

    /// Why a run can't start now, in words for a person; none where it can.
    pub fn run_obstacle(&self) -> Option<String> {
        let Some(model) = self.model.loaded() else {
            return Some("No model is loaded yet".into());
        };
        if self.single.is_generating() {
            return Some("The single prompt is still generating".into());
        }
        let config = self.settings.run_config(model.source.clone());
        if let Err(invalid) = config.validate() {
            return Some(invalid.to_string());
        }
        if config.execution == Execution::Exact
            && let Err(reason) = &model.exact_width
        {
            return Some(format!("This model can't run exactly: {reason}"));
        }
        self.prediction()?.refusal(config.sessions)
    }

    /// The memory that the next run will need; none without a model.
    pub fn prediction(&self) -> Option<MemoryPrediction> {
        let model = self.model.loaded()?;
        Some(MemoryPrediction::of(&self.settings.run_config(model.source.clone()), model, self.machine))
    }

    /// Whether the controls were moved since the run on show was started: they apply to the next one.
    pub fn controls_moved(&self) -> bool {
        let Some(run) = &self.run else { return false };
        run.config != ParallelConfig { ..self.settings.run_config(run.config.model.clone()) }
    }

    /// Begins showing a run.
    pub fn start_run(&mut self, config: ParallelConfig, model: String) {
        self.settings.view = View::Parallel;
        self.maximised = None;
        self.shows_results = false;
        self.run = Some(RunState::start(config, model));
    }

    /// Shows a run from its report.
    pub fn show_report(&mut self, report: RunReport) {
        self.settings.view = View::Parallel;
        self.maximised = None;
        self.shows_results = false;
        self.sheet = None;
        self.run = Some(RunState::from_report(report));
    }

    /// Adds a run to the list of recent ones, or replaces it there.
    pub fn remember(&mut self, record: RunRecord) {
        self.recent.retain(|known| known.path != record.path);
        self.recent.insert(0, record);
        self.recent.truncate(super::MAX_RECENT_RUNS);
    }

    /// Takes a run off the list of recent ones.
    pub fn forget(&mut self, path: &PathBuf) {
        self.recent.retain(|known| known.path != *path);
    }

    /// Says something to the person.
    pub fn notify(&mut self, tone: Tone, text: impl Into<String>) {
        let notice = Notice { tone, text: text.into() };
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// Shows something else.
    pub fn show(&mut self, show: Show) {
        match show {
            Show::Sheet(sheet) => self.sheet = sheet,
            Show::Maximised(id) => self.maximised = id,
            Show::Results(shows_results) => self.shows_results = shows_results,
            Show::Order(order) => self.result_order = order,
            Show::DismissNotice(place) => {
                if place < self.notices.len() {
                    self.notices.remove(place);
                }
            }
        }
    }
}
