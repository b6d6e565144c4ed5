//! What the person asked for, done: each action starts work or changes the state, and nothing waits.

use super::dialogs::Ask;
use super::files::{self, Found};
use super::loads::{Load, discard_download};
use super::parallel::{Ended, LiveRun};
use super::single::LiveSingle;
use super::window::WindowApp;
use super::work::Work;
use crate::hub;
use crate::protocol::{Execution, ModelSource, ParallelConfig, RunReport, SessionId};
use crate::session::LoadedModel;
use crate::state::{
    Action, FileAction, ModelAction, ModelState, RunAction, RunPhase, Sheet, Show, SingleAction, Tone, short_name,
};
use egui::{Context, ViewportCommand};
use std::path::PathBuf;

impl WindowApp {
    /// Does what the person asked for.
    pub(super) fn apply(&mut self, context: &Context, action: Action) {
        match action {
            Action::Settings(settings) => self.state.settings = *settings,
            Action::Show(show) => {
                if show == Show::Sheet(Some(Sheet::Models)) {
                    self.list_models();
                }
                self.state.show(show);
            }
            Action::Copy(text) => context.copy_text(text),
            Action::Quit => context.send_viewport_cmd(ViewportCommand::Close),
            Action::Model(action) => self.apply_model(action),
            Action::Run(action) => self.apply_run(action),
            Action::Single(action) => self.apply_single(action),
            Action::Scaling(action) => self.apply_scaling(context, action),
            Action::File(action) => self.apply_file(action),
        }
    }

    fn apply_model(&mut self, action: ModelAction) {
        match action {
            ModelAction::Choose(source) if self.state.is_busy() => {
                self.state.sheet = Some(Sheet::ConfirmModel(source));
            }
            ModelAction::Choose(source) => self.load_model(source),
            ModelAction::ChooseAnyway(source) => {
                self.stop_all();
                self.load_model(source);
            }
            ModelAction::FolderDialog => self.choose(Ask::ModelFolder),
            ModelAction::FileDialog => self.choose(Ask::ModelFile),
            ModelAction::Retry => {
                if let Some(source) = self.state.model.source().cloned() {
                    self.load_model(source);
                }
            }
            ModelAction::Pause => {
                if let Some(load) = self.load.take() {
                    self.state.model = ModelState::Paused { source: load.source.clone(), progress: load.progress() };
                }
            }
            ModelAction::Cancel => {
                match (self.load.take(), self.state.model.source()) {
                    (Some(load), _) => load.discard(),
                    (None, Some(source)) => discard_download(source),
                    (None, None) => {}
                }
                self.state.model = ModelState::Absent;
            }
        }
    }

    fn choose(&mut self, ask: Ask) {
        if self.choosing.is_none() {
            self.choosing = Some(files::choose_model(&self.world.dialogs, ask, self.wake.clone()));
        }
    }

    /// Begins to load `source`; what was loaded before is given up.
    pub(super) fn load_model(&mut self, source: ModelSource) {
        self.model = None;
        self.told_engine = None;
        self.state.settings.model = source.clone();
        if let Some(changes) = self.state.settings.take_advice(hub::sampling_defaults(&source)) {
            let name = short_name(&source);
            let text = format!("Sampling now follows the advice of the makers of {name}: {changes}.");
            self.state.notify(Tone::Info, text);
        }
        self.state.packing = self.state.settings.packing;
        let load = Load::start(&self.world.loader, source, self.state.packing, self.wake.clone());
        self.state.model = ModelState::Loading { source: load.source.clone(), progress: load.progress() };
        self.load = Some(load);
    }

    /// Takes in how far a load has come.
    pub(super) fn take_model(&mut self) {
        let Some(load) = &mut self.load else { return };
        match load.take() {
            None => self.state.model = ModelState::Loading { source: load.source.clone(), progress: load.progress() },
            Some(Ok(model)) => {
                tracing::info!(model = model.summary().name, "model loaded");
                self.state.model = ModelState::Loaded(model.summary().clone());
                let chosen = &mut self.state.settings.parallel.execution;
                if let (Execution::Exact, Err(reason)) = (*chosen, &model.summary().facts.exact_width) {
                    *chosen = Execution::Batched;
                    self.state.notify(Tone::Info, format!("Sessions will run batched, not exact: {reason}"));
                }
                self.model = Some(model);
                self.load = None;
            }
            Some(Err(message)) => {
                tracing::warn!(model = %load.source, "the model did not load: {message}");
                self.state.model = ModelState::Failed { source: load.source.clone(), message };
                self.load = None;
            }
        }
    }

    fn apply_run(&mut self, action: RunAction) {
        match action {
            RunAction::Start => self.start_run(),
            RunAction::StopAll => self.stop_all(),
            RunAction::Stop(id) => {
                if let Some(run) = &self.run {
                    // A session that is run again is number 0 of a run of its own.
                    let again = self.state.run.as_ref().and_then(|shown| shown.running_again());
                    run.stop(if again.is_some() { SessionId(0) } else { id });
                }
            }
            RunAction::Again(id) => self.run_again(id),
            RunAction::Race => self.start_race(),
            RunAction::Verify => self.start_verifying(),
            RunAction::StopVerifying => self.stop_verifying(),
            RunAction::Clear => {
                if !self.state.run_is_active() {
                    self.stop_verifying();
                    self.state.run = None;
                    self.state.race = None;
                    self.state.maximised = None;
                    self.run_file = None;
                }
            }
        }
    }

    fn start_run(&mut self) {
        let Some(model) = self.model.clone() else { return };
        if self.run.is_some() {
            return;
        }
        if let Some(obstacle) = self.state.run_obstacle() {
            return self.state.notify(Tone::Problem, obstacle);
        }
        self.state.race = None;
        self.begin_run(&model, self.state.settings.run_config(model.summary().source.clone()));
    }

    /// Starts a run that is kept as it ends.
    pub(super) fn begin_run(&mut self, model: &LoadedModel, config: ParallelConfig) {
        let storage = Some(self.world.storage.clone());
        match LiveRun::start(model, config.clone(), storage, self.pace.wake(), self.wake.clone()) {
            Ok(run) => {
                self.run = Some(run);
                self.run_file = None;
                self.state.start_run(config, model.summary());
            }
            Err(invalid) => self.state.notify(Tone::Problem, invalid.to_string()),
        }
    }

    fn run_again(&mut self, id: SessionId) {
        let (Some(model), None) = (self.model.clone(), &self.run) else { return };
        if let Some(obstacle) = self.state.other_model() {
            return self.state.notify(Tone::Problem, obstacle);
        }
        let Some(config) = self.state.run.as_mut().and_then(|run| run.run_again(id)) else { return };
        match LiveRun::start(&model, config, None, self.pace.wake(), self.wake.clone()) {
            Ok(run) => self.run = Some(run),
            Err(invalid) => self.state.notify(Tone::Problem, invalid.to_string()),
        }
    }

    fn stop_all(&mut self) {
        if let Some(run) = &self.run {
            run.stop_all();
        }
        if let Some(single) = &self.single {
            single.stop();
        }
        self.stop_verifying();
        self.stop_scaling();
        if let Some(run) = self.state.run.as_mut().filter(|run| run.is_active()) {
            run.phase = RunPhase::Stopping;
        }
    }

    /// Takes in what the parallel run did.
    pub(super) fn take_run(&mut self) {
        let (Some(live), Some(run)) = (&mut self.run, &mut self.state.run) else { return };
        live.drain(run);
        if let Some(race) = &mut self.state.race {
            race.tick(run.elapsed_s, run.totals().tokens);
        }
        let Some(outcome) = live.take_ended() else { return };
        self.run = None;
        match outcome {
            Ok(Ended { report, record }) => {
                tracing::info!(sessions = report.sessions.len(), tokens = report.total_tokens, "run ended");
                run.finish(report);
                match record {
                    Some(Ok(record)) => {
                        self.run_file = Some(record.path.clone());
                        self.state.remember(record);
                    }
                    Some(Err(message)) => {
                        let text = format!("The run could not be kept: {message}. Export it to save it elsewhere.");
                        self.state.notify(Tone::Problem, text);
                    }
                    None => self.keep_again(),
                }
                self.race_on();
            }
            Err(message) => {
                run.phase = RunPhase::Ended;
                if let Some(race) = &mut self.state.race {
                    race.break_off(message.clone());
                }
                self.state.notify(Tone::Problem, format!("The run ended early: {message}"));
            }
        }
    }

    /// Writes the run on show again, with the session that was run again or what its replays found.
    pub(super) fn keep_again(&mut self) {
        let report = self.state.run.as_ref().and_then(|run| run.report.clone());
        if let (Some(report), Some(path)) = (report, self.run_file.clone()) {
            let storage = self.world.storage.clone();
            self.rewriting = Some(Work::blocking(self.wake.clone(), move || {
                storage.rewrite_run(&report, path).map_err(|error| error.to_string())
            }));
        }
    }

    fn apply_single(&mut self, action: SingleAction) {
        match action {
            SingleAction::Stop => {
                if let Some(single) = &self.single {
                    single.stop();
                }
            }
            SingleAction::Generate => {
                let Some(model) = self.model.clone() else { return };
                if self.state.is_busy() {
                    return;
                }
                match LiveSingle::start(&model, &self.state.settings.single, self.pace.wake()) {
                    Ok(single) => {
                        self.single = Some(single);
                        self.state.single.start();
                    }
                    Err(message) => self.state.notify(Tone::Problem, message),
                }
            }
        }
    }

    fn apply_file(&mut self, action: FileAction) {
        match action {
            FileAction::Export(format) => {
                let report = self.state.run.as_ref().and_then(|run| run.report.clone());
                match report {
                    Some(report) if self.exporting.is_none() => {
                        self.exporting = Some(files::export(&self.world.dialogs, report, format, self.wake.clone()));
                    }
                    Some(_) => {}
                    None => self.state.notify(Tone::Info, "There is no finished run to export yet."),
                }
            }
            FileAction::Open if self.opening.is_none() => {
                self.opening = Some(files::open(&self.world.dialogs, self.wake.clone()));
            }
            FileAction::Open => {}
            FileAction::OpenRecent(path) => self.open_path(path),
        }
    }

    fn open_path(&mut self, path: PathBuf) {
        if self.opening.is_none() {
            self.opening = Some(files::open_path(path, self.wake.clone()));
        }
    }

    /// Shows a run that was opened; never over one that is on.
    pub(super) fn show_opened(&mut self, report: RunReport, path: PathBuf) {
        if self.state.run_is_active() {
            return self.state.notify(Tone::Info, "A run is on: stop it before opening another one.");
        }
        self.verify = None;
        self.run_file = self.state.recent.iter().any(|record| record.path == path).then_some(path);
        self.state.show_report(report);
    }

    /// Takes in files that were dropped on the window.
    pub(super) fn take_dropped(&mut self, context: &Context) {
        let dropped: Vec<PathBuf> =
            context.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        self.world.inbox.add(dropped);
    }

    /// Loads or opens what was found, or says why not.
    pub(super) fn take_found(&mut self, found: Found) {
        // What comes of it is shown behind a sheet.
        self.state.sheet = None;
        match found {
            Found::Model(source) => self.apply_model(ModelAction::Choose(source)),
            Found::Run(path) => self.open_path(path),
            Found::Neither(reason) => self.state.notify(Tone::Problem, reason),
        }
    }
}
