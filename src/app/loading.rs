//! The model on its way: chosen, loading, paused, given up, here.

use super::feature::Feature;
use super::loads::{Load, discard_download};
use super::shell::Shell;
use crate::hub;
use crate::protocol::{Execution, ModelSource};
use crate::session::LoadedModel;
use crate::state::{ModelState, Sheet, Tone, short_name};

/// The model on its way.
#[derive(Default)]
pub struct ModelLoading {
    load: Option<Load>,
}

impl ModelLoading {
    /// Loads `source`, after a question where something is on.
    pub fn choose(&mut self, shell: &mut Shell, source: ModelSource) {
        if shell.state.is_busy() {
            shell.state.sheet = Some(Sheet::ConfirmModel(source));
        } else {
            self.load(shell, source);
        }
    }

    /// Begins to load `source`; what was loaded before is given up.
    pub fn load(&mut self, shell: &mut Shell, source: ModelSource) {
        shell.models.give_up();
        let state = &mut shell.state;
        state.settings.model = source.clone();
        if let Some(changes) = state.settings.take_advice(hub::sampling_defaults(&source)) {
            let name = short_name(&source);
            let text = format!("Sampling now follows the advice of the makers of {name}: {changes}.");
            state.notify(Tone::Info, text);
        }
        state.packing = state.settings.packing;
        let load = Load::start(&shell.world.loader, source, state.packing, shell.wake.clone());
        state.model = ModelState::Loading { source: load.source.clone(), progress: load.progress() };
        self.load = Some(load);
    }

    /// Tries the failed one again, or goes on with the paused one.
    pub fn retry(&mut self, shell: &mut Shell) {
        if let Some(source) = shell.state.model.source().cloned() {
            self.load(shell, source);
        }
    }

    /// Stops the download and keeps what came of it.
    pub fn pause(&mut self, shell: &mut Shell) {
        if let Some(load) = self.load.take() {
            shell.state.model = ModelState::Paused { source: load.source.clone(), progress: load.progress() };
        }
    }

    /// Gives up on the one that is coming, and throws away what a download left.
    pub fn cancel(&mut self, shell: &mut Shell) {
        match (self.load.take(), shell.state.model.source()) {
            (Some(load), _) => load.discard(),
            (None, Some(source)) => discard_download(source),
            (None, None) => {}
        }
        shell.state.model = ModelState::Absent;
    }
}

impl Feature for ModelLoading {
    /// Takes in how far the load has come.
    fn take_in(&mut self, shell: &mut Shell) {
        let Some(load) = &mut self.load else { return };
        let source = load.source.clone();
        let Some(outcome) = load.take() else {
            shell.state.model = ModelState::Loading { source, progress: load.progress() };
            return;
        };
        self.load = None;
        match outcome {
            Ok(model) => show_loaded(shell, model),
            Err(message) => {
                tracing::warn!(model = %source, "the model did not load: {message}");
                shell.state.model = ModelState::Failed { source, message };
            }
        }
    }
}

fn show_loaded(shell: &mut Shell, model: LoadedModel) {
    tracing::info!(model = model.summary().name, "model loaded");
    let state = &mut shell.state;
    state.model = ModelState::Loaded(model.summary().clone());
    let chosen = &mut state.settings.parallel.execution;
    if let (Execution::Exact, Err(reason)) = (*chosen, &model.summary().facts.exact_width) {
        *chosen = Execution::Batched;
        state.notify(Tone::Info, format!("Sessions will run batched, not exact: {reason}"));
    }
    shell.models.put(model);
}
