//! The hub as this program uses it: find a model's files on this machine, download the missing ones, remove them.

use super::cache::{self, RepositoryCache};
use super::refusal::{Failure, Request, innermost, retry_after};
use super::repository::{Answer, is_valid_id};
use super::{HubError, HubSettings, ModelFiles, check_starter, starter_path};
use crate::protocol::{LoadProgress, ModelSource};
use hf_hub::{HFClient, HFRepository, RepoTypeModel, split_id};
use reqwest::Client;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// A request that brings no byte for this long is given up and tried again.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// The hub and its cache on this machine.
pub struct Hub {
    pub(super) settings: HubSettings,
    client: HFClient,
    http: Client,
}

impl Hub {
    /// Prepares requests; makes none.
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        let setup = |problem: String| HubError::Setup(problem);
        let agent = concat!("llmeval/", env!("CARGO_PKG_VERSION"));
        let http = Client::builder().user_agent(agent).read_timeout(SILENCE).connect_timeout(CONNECT).build();
        let http = http.map_err(|error| setup(innermost(&error)))?;
        // Retries are ours: they heed Retry-After and go on where the last try stopped.
        let mut builder = HFClient::builder().client(http.clone()).user_agent(agent).retry_max_attempts(0);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(cache) = &settings.cache {
            builder = builder.cache_dir(cache);
        }
        if let Some(token) = &settings.token {
            builder = builder.token(token.secret());
        }
        let client = builder.build().map_err(|error| setup(innermost(&error)))?;
        Ok(Self { settings, client, http })
    }

    /// The hub that the environment names.
    pub fn from_environment() -> Result<Self, HubError> {
        Self::new(HubSettings::from_environment())
    }

    /// Downloads the files of `source`, unless they are on this machine already, and says where they lie.
    ///
    /// A model of the hub that is on this machine is used as it is: no request is made. Dropping the future stops a
    /// download at once; the next call goes on from there.
    pub async fn resolve(
        &self,
        source: &ModelSource,
        progress: impl Fn(LoadProgress) + Send + Sync,
    ) -> Result<ModelFiles, HubError> {
        match source {
            ModelSource::Hub(id) => match self.cached(id)? {
                Some(files) => Ok(files),
                None => self.pull(id, progress).await,
            },
            local => local_files(local),
        }
    }

    /// Downloads the newest commit of `id`, only the files that are missing here.
    pub async fn pull(&self, id: &str, progress: impl Fn(LoadProgress) + Send + Sync) -> Result<ModelFiles, HubError> {
        self.check_online(id)?;
        let snapshot = match self.download_snapshot(id, &progress).await {
            Err(HubError::TokenNeeded(id)) => {
                let kept = tokio::task::spawn_blocking(self.settings.kept_token).await.unwrap_or_default();
                let token = Some(kept.ok_or_else(|| HubError::TokenNeeded(id.clone()))?);
                let hub = Self::new(HubSettings { token, ..self.settings.clone() })?;
                hub.download_snapshot(&id, &progress).await?
            }
            other => other?,
        };
        ModelFiles::in_folder(&snapshot)
    }

    /// The files of `id`, where a whole snapshot is here.
    pub fn cached(&self, id: &str) -> Result<Option<ModelFiles>, HubError> {
        check_id(id)?;
        // A snapshot that another program left half done lacks files: it counts as not here.
        Ok(self.repository_cache(id).snapshot().and_then(|snapshot| ModelFiles::in_folder(&snapshot).ok()))
    }

    /// Bytes that `id` takes on disk: whole files, and those of a download that was stopped.
    pub fn bytes_on_disk(&self, id: &str) -> Result<(u64, u64), HubError> {
        check_id(id)?;
        Ok(self.repository_cache(id).bytes())
    }

    /// The ids of all models in the cache, whole or not.
    pub fn cached_ids(&self) -> BTreeSet<String> {
        cache::repositories(self.cache_folder())
    }

    /// Throws away what a stopped download of `id` left.
    pub fn discard_partial(&self, id: &str) -> Result<(), HubError> {
        check_id(id)?;
        self.repository_cache(id).discard_incomplete()
    }

    /// Removes `id` from this machine; returns the bytes that became free.
    pub fn remove(&self, id: &str) -> Result<u64, HubError> {
        check_id(id)?;
        let cache = self.repository_cache(id);
        if !cache.folder().is_dir() {
            return Err(HubError::NotDownloaded(id.to_owned()));
        }
        let (whole, coming) = cache.bytes();
        cache.remove()?;
        Ok(whole + coming)
    }

    /// The address of the hub.
    pub fn endpoint(&self) -> &str {
        self.client.endpoint()
    }

    /// The cache's folder.
    pub fn cache_folder(&self) -> &Path {
        self.client.cache_dir()
    }

    /// Refuses what is no id, and every request in offline mode (`HF_HUB_OFFLINE`).
    pub(super) fn check_online(&self, id: &str) -> Result<(), HubError> {
        check_id(id)?;
        if self.settings.offline { Err(HubError::Offline(id.to_owned())) } else { Ok(()) }
    }

    pub(super) fn repository_cache(&self, id: &str) -> RepositoryCache {
        RepositoryCache::new(self.cache_folder(), id)
    }

    /// A request for `id` as this hub makes it.
    pub(super) fn request<'a>(&self, id: &'a str) -> Request<'a> {
        Request { id, has_token: self.settings.token.is_some() }
    }

    pub(super) fn repository(&self, id: &str) -> HFRepository<RepoTypeModel> {
        let (owner, name) = split_id(id);
        self.client.model(owner, name)
    }

    /// `GET {endpoint}/api/models/{id}/revision/main?blobs=true`.
    pub(super) async fn ask_for_listing(&self, id: &str) -> Result<Answer, Failure> {
        let mut request = self.http.get(format!("{}/api/models/{id}/revision/main?blobs=true", self.endpoint()));
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(token.secret());
        }
        let response = request.send().await.map_err(|error| Failure::passing(innermost(&error)))?;
        if !response.status().is_success() {
            return Err(self.request(id).refusal(response.status(), retry_after(response.headers())));
        }
        response.json().await.map_err(|error| Failure::passing(innermost(&error)))
    }
}

/// The [`Hub`] that the environment names downloads the files of `source`; see [`Hub::resolve`].
pub async fn resolve(
    source: &ModelSource,
    progress: impl Fn(LoadProgress) + Send + Sync,
) -> Result<ModelFiles, HubError> {
    match source {
        ModelSource::Hub(_) => Hub::from_environment()?.resolve(source, progress).await,
        local => local_files(local),
    }
}

/// The files of a model that needs no hub.
fn local_files(source: &ModelSource) -> Result<ModelFiles, HubError> {
    match source {
        ModelSource::Starter => {
            let path = starter_path()?;
            check_starter(&path)?;
            Ok(ModelFiles::Gguf(path))
        }
        ModelSource::Folder(path) => ModelFiles::in_folder(path),
        ModelSource::Gguf(path) => ModelFiles::gguf(path),
        ModelSource::Hub(id) => Err(HubError::NotDownloaded(id.clone())),
    }
}

fn check_id(id: &str) -> Result<(), HubError> {
    if is_valid_id(id) { Ok(()) } else { Err(HubError::InvalidId(id.to_owned())) }
}
