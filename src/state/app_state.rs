//! All that the window shows, in one place.

use super::{
    MemoryCard, ModelState, Preset, RaceState, ResultOrder, RunPhase, RunRecord, RunState, ScalingState, Settings,
    Sheet, Show, SingleState, Verification, View,
};
use crate::protocol::{
    Execution, HeldMemory, ListedModel, MachineMemory, MemoryPrediction, ModelSummary, Packing, ParallelConfig,
    RunReport, SessionId,
};
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
    /// How the weights of the model that is here, or coming, were asked for.
    pub packing: Packing,
    /// Models to choose from.
    pub models: Vec<ListedModel>,
    /// The single prompt.
    pub single: SingleState,
    /// The parallel run that is on or ended last.
    pub run: Option<RunState>,
    /// The race of which the run is a part.
    pub race: Option<RaceState>,
    /// The replay of the run's sessions.
    pub verification: Option<Verification>,
    /// The sweep that is on or ended last.
    pub scaling: Option<ScalingState>,
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
    /// What other models, and runs over them, take of it.
    pub held: HeldMemory,
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
        self.run_is_active() || self.single.is_generating() || self.is_verifying() || self.is_scaling()
    }

    /// Whether a finished run's sessions are being replayed.
    pub fn is_verifying(&self) -> bool {
        self.verification.as_ref().is_some_and(Verification::is_running)
    }

    /// Whether a sweep is on.
    pub fn is_scaling(&self) -> bool {
        self.scaling.as_ref().is_some_and(ScalingState::is_running)
    }

    /// Whether a leg of a race is on.
    pub fn is_racing(&self) -> bool {
        self.race.as_ref().is_some_and(RaceState::is_active)
    }

    /// What the engine is busy with.
    pub fn busy_words(&self) -> &'static str {
        if self.is_verifying() {
            "Verifying..."
        } else if self.is_scaling() {
            "Measuring..."
        } else {
            "Generating..."
        }
    }

    /// Why nothing new can start now: the model has to be here, and to itself where something is measured or proven.
    fn engine_obstacle(&self) -> Option<String> {
        if self.model.loaded().is_none() {
            return Some("No model is loaded yet".into());
        }
        let busy = if self.single.is_generating() {
            "The single prompt is still generating"
        } else if self.is_verifying() {
            "The last run is being verified: wait for it, or stop it"
        } else if self.is_scaling() {
            "A scaling sweep is on: wait for it, or stop it"
        } else {
            return None;
        };
        Some(busy.into())
    }

    /// Why a run can't start now, in words for a person; none where it can.
    pub fn run_obstacle(&self) -> Option<String> {
        if let Some(obstacle) = self.engine_obstacle() {
            return Some(obstacle);
        }
        let config = self.settings.run_config(self.model.loaded()?.source.clone());
        if let Err(invalid) = config.validate() {
            return Some(invalid.to_string());
        }
        self.exact_obstacle(config.execution).or_else(|| self.prediction()?.refusal(config.sessions))
    }

    /// Why a sweep can't start now; none where it can.
    pub fn scaling_obstacle(&self) -> Option<String> {
        if self.run_is_active() {
            return Some("A run is on: wait for its end, or stop it".into());
        }
        if let Some(obstacle) = self.engine_obstacle() {
            return Some(obstacle);
        }
        let model = self.model.loaded()?;
        let config = match self.settings.scaling.config(self.settings.run_config(model.source.clone())) {
            Ok(config) => config,
            Err(invalid) => return Some(invalid.to_string()),
        };
        let mut executions = self.settings.scaling.executions().into_iter();
        executions
            .find_map(|execution| self.exact_obstacle(execution))
            .or_else(|| self.prediction_of(&config)?.refusal(config.sessions))
    }

    /// Why the run that is shown can't be verified now; none where it can.
    pub fn verify_obstacle(&self) -> Option<String> {
        let report = self.run.as_ref()?.report.as_ref()?;
        if self.run_is_active() {
            return Some("The run is still on".into());
        }
        if let Some(obstacle) = self.engine_obstacle() {
            return Some(obstacle);
        }
        if let Some(obstacle) = self.other_model() {
            return Some(obstacle);
        }
        report.sessions.iter().all(|session| session.tokens == 0).then(|| "No session gave a token".into())
    }

    /// Why the loaded model can't give the same tokens as the run that is shown; none where it is the run's own.
    pub fn other_model(&self) -> Option<String> {
        let (run, model) = (self.run.as_ref()?, self.model.loaded()?);
        let name = &run.model;
        if model.source != run.config.model {
            return Some(format!("This run is of {name}: load that model first"));
        }
        let held = |bits: Option<u32>| bits.map_or("as stored".to_owned(), |bits| format!("packed to {bits} bits"));
        let (then, now) = (held(run.packed_bits), held(model.facts.packed_bits));
        (then != now).then(|| {
            format!(
                "This run is of {name} with its weights {then}, and now they are {now}: load the model that way first"
            )
        })
    }

    /// Why the model can't run in `execution`.
    fn exact_obstacle(&self, execution: Execution) -> Option<String> {
        match &self.model.loaded()?.facts.exact_width {
            Err(reason) if execution == Execution::Exact => Some(format!("This model can't run exactly: {reason}")),
            _ => None,
        }
    }

    /// The memory that the next run will need; none without a model or before the machine was looked at.
    pub fn prediction(&self) -> Option<MemoryPrediction> {
        let model = self.model.loaded()?;
        self.prediction_of(&self.settings.run_config(model.source.clone()))
    }

    fn prediction_of(&self, config: &ParallelConfig) -> Option<MemoryPrediction> {
        let model = self.model.loaded()?;
        // The machine's memory is not known in the first moments.
        (self.machine.total > 0).then(|| MemoryPrediction::of(config, &model.facts, self.machine).beside(self.held))
    }

    /// Whether the controls were moved since the run on show was started: they apply to the next one.
    pub fn controls_moved(&self) -> bool {
        let Some(run) = &self.run else { return false };
        let next = self.settings.run_config(run.config.model.clone());
        // A race chooses its executions itself.
        let execution = if self.is_racing() { run.config.execution } else { next.execution };
        run.config != ParallelConfig { execution, ..next }
    }

    /// Begins showing a run.
    pub fn start_run(&mut self, config: ParallelConfig, model: &ModelSummary) {
        self.settings.view = View::Parallel;
        self.maximised = None;
        self.shows_results = false;
        self.verification = None;
        let mut run = RunState::start(config, model.name.clone());
        run.packed_bits = model.facts.packed_bits;
        self.run = Some(run);
    }

    /// Takes in that the run could not go on: it, and the race that it is a part of, end here.
    pub fn break_run(&mut self, reason: &str) {
        if let Some(run) = &mut self.run {
            run.phase = RunPhase::Ended;
        }
        if let Some(race) = &mut self.race {
            race.break_off(reason.to_owned());
        }
    }

    /// Takes the run off the window, so that prompts can be edited.
    pub fn clear_run(&mut self) {
        self.run = None;
        self.race = None;
        self.maximised = None;
    }

    /// Shows a run that was read from `file`.
    pub fn show_report(&mut self, report: RunReport, file: PathBuf) {
        self.settings.view = View::Parallel;
        self.maximised = None;
        self.shows_results = false;
        self.sheet = None;
        self.race = None;
        self.verification = None;
        // Only a run of the list is written again by this program; another file is the person's own.
        let is_kept = self.recent.iter().any(|record| record.path == file);
        let mut run = RunState::from_report(report);
        run.file = is_kept.then_some(file);
        self.run = Some(run);
    }

    /// Adds a run to the list of recent ones, or replaces it where it is.
    pub fn remember(&mut self, record: RunRecord) {
        match self.recent.iter_mut().find(|known| known.path == record.path) {
            Some(known) => *known = record,
            None => self.recent.insert(0, record),
        }
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
