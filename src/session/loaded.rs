//! A model that is loaded: its engine, its text side, its figures. What a run needs, cheap to clone.

use crate::engine::{self, Backend, EngineHandle, EngineSettings, LoadCancel, StartError};
use crate::hub::{self, HubError, ModelFiles, gguf::Gguf};
use crate::protocol::{Capabilities, LoadProgress, ModelFacts, ModelSource, ModelSummary, Origin};
use crate::text::{TextError, TextModel};
use std::fmt;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// A loaded model. It is unloaded once all clones are gone and their sessions have ended.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    engine: EngineHandle,
    text: Arc<TextModel>,
    summary: Arc<ModelSummary>,
    origin: Arc<Origin>,
    capabilities: Arc<Capabilities>,
}

/// Why a model could not be loaded, in words for a person.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its files can't be had.
    #[error(transparent)]
    Files(#[from] HubError),
    /// Its tokenizer or chat template can't be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Its weights can't be used.
    #[error("{0}")]
    Weights(String),
    /// This machine can't compute.
    #[error("{0}")]
    Device(String),
}

impl LoadedModel {
    /// Brings the files of `source` here, and loads them: the weights on an engine thread of their own by `loader`,
    /// the tokenizer before them. Dropping the future stops a download at once; it cancels a load of weights and waits
    /// until the loader has noticed.
    pub async fn load<B, E>(
        source: ModelSource,
        settings: EngineSettings,
        progress: impl Fn(LoadProgress) + Send + Sync,
        loader: impl FnOnce(&ModelFiles, &LoadCancel) -> Result<(B, ModelFacts), E> + Send + 'static,
    ) -> Result<Self, LoadError>
    where
        B: Backend + 'static,
        E: fmt::Display + Send + 'static,
    {
        let files = hub::resolve(&source, &progress).await?;
        progress(LoadProgress::Loading);
        let text_files = files.clone();
        let text = spawn_blocking(move || load_text(&text_files));
        let text = match text.await {
            Ok(text) => text?.with_stop_tokens(&hub::extra_stop_tokens(&source)),
            Err(error) => {
                return Err(LoadError::Weights(format!("loading the tokenizer failed unexpectedly: {error}")));
            }
        };
        let (engine, facts) = engine::start(settings, move |cancel| loader(&files, cancel))
            .await
            .map_err(|error| LoadError::Weights(words(&error)))?;
        Ok(Self::new(engine, text, source, facts))
    }

    /// Joins the parts of a model that were loaded by other means.
    pub fn new(engine: EngineHandle, text: TextModel, source: ModelSource, facts: ModelFacts) -> Self {
        let summary = ModelSummary {
            name: source.display_name(),
            source,
            facts,
            can_think: text.can_think(),
            can_use_tools: text.can_use_tools(),
        };
        let capabilities = Capabilities {
            token_ids: true,
            exact: summary.facts.exact_width.clone().map(drop),
            memory: true,
            log_probabilities: 0,
            tools: summary.can_use_tools,
        };
        let origin = Arc::new(Origin::local(summary.name.as_str()));
        Self { engine, text: Arc::new(text), summary: Arc::new(summary), origin, capabilities: Arc::new(capabilities) }
    }

    /// The engine that runs the model: memory figures, cache limit, scheduling, unload.
    pub fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    /// The tokenizer and chat template.
    pub fn text(&self) -> &TextModel {
        &self.text
    }

    pub(super) fn text_shared(&self) -> Arc<TextModel> {
        Arc::clone(&self.text)
    }

    /// Which model on which engine.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it can tell and do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The model in figures.
    pub fn summary(&self) -> &ModelSummary {
        &self.summary
    }
}

fn load_text(files: &ModelFiles) -> Result<TextModel, LoadError> {
    match files {
        ModelFiles::Folder(files) => Ok(TextModel::from_folder(&files.folder)?),
        ModelFiles::Gguf(path) => {
            let tokenizer = Gguf::open(path)?.tokenizer()?;
            Ok(TextModel::from_gguf(&path.display().to_string(), &tokenizer)?)
        }
    }
}

fn words<E: fmt::Display>(error: &StartError<E>) -> String {
    match error {
        StartError::Load(error) => error.to_string(),
        StartError::Panicked(words) => format!("loading the model failed unexpectedly: {words}"),
        StartError::Thread(error) => format!("the engine's thread could not be started: {error}"),
    }
}
