//! A model on its way: the load's future, and how far it has come.

use super::work::{Wake, Work};
use crate::hub::Hub;
use crate::protocol::{LoadProgress, ModelSource, Packing};
use crate::session::LoadedModel;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// Told how far a load has come.
pub type Progress = Arc<dyn Fn(LoadProgress) + Send + Sync>;

/// A load that is under way. Dropping it gives up on it.
pub type Loading = Pin<Box<dyn Future<Output = anyhow::Result<LoadedModel>> + Send>>;

/// Loads a model: MLX's own way in the program, a scripted one in tests.
pub type Loader = Arc<dyn Fn(ModelSource, Packing, Progress) -> Loading + Send + Sync>;

/// A model on its way.
pub struct Load {
    /// Where from.
    pub source: ModelSource,
    progress: watch::Receiver<LoadProgress>,
    work: Work<LoadedModel>,
}

impl Load {
    /// Begins to load `source`.
    pub fn start(loader: &Loader, source: ModelSource, packing: Packing, wake: Wake) -> Self {
        let (sender, progress) = watch::channel(LoadProgress::Loading);
        let progress_wake = Arc::clone(&wake);
        let report: Progress = Arc::new(move |step| {
            sender.send_replace(step);
            progress_wake();
        });
        let loading = loader(source.clone(), packing, report);
        let work = Work::start(wake, async move { loading.await.map_err(|error| format!("{error:#}")) });
        Self { source, progress, work }
    }

    /// Gives up on it, and then throws away what a download left.
    pub fn discard(self) {
        let (source, stopped) = (self.source, self.work.stop());
        tokio::spawn(async move {
            stopped.await;
            discard_download(&source);
        });
    }

    /// How far it has come.
    pub fn progress(&self) -> LoadProgress {
        self.progress.borrow().clone()
    }

    /// The model, or why it did not come, once.
    pub fn take(&mut self) -> Option<Result<LoadedModel, String>> {
        self.work.take()
    }
}

/// Throws away what a download of `source` left behind.
pub fn discard_download(source: &ModelSource) {
    if let ModelSource::Hub(id) = source.clone() {
        tokio::task::spawn_blocking(move || {
            let discarded = Hub::from_environment().and_then(|hub| hub.discard_partial(&id));
            if let Err(error) = discarded {
                tracing::warn!("what came of {id} stays: {error}");
            }
        });
    }
}
