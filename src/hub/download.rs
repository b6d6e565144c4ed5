//! Downloads one repository's files into the cache, several at once: resumes, retries, checks hashes, reports progress.
//!
//! There is no pause and no cancel: dropping the future stops at once, and the next download goes on from there.

use super::cache::RepositoryCache;
use super::partial::PartialFile;
use super::progress::Meter;
use super::refusal::Failure;
use super::repository::{Listing, RemoteFile};
use super::{Hub, HubError};
use crate::protocol::LoadProgress;
use futures_util::{StreamExt, TryStreamExt, stream};
use hf_hub::{HFRepository, RepoTypeModel};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many files are downloaded at the same time.
const AT_ONCE: usize = 4;
/// Tries without a single byte of progress before a download gives up.
const MAX_TRIES: u32 = 5;
/// The longest pause that the hub may ask for; beyond it the person decides.
const MAX_WAIT: Duration = Duration::from_secs(120);
/// Bytes that a download leaves free on the disk.
const SPARE_BYTES: u64 = 100_000_000;

impl Hub {
    /// Downloads the newest commit of `id`, only the files that are missing, and says where its snapshot lies.
    pub(super) async fn download_snapshot(
        &self,
        id: &str,
        report: &(dyn Fn(LoadProgress) + Send + Sync),
    ) -> Result<PathBuf, HubError> {
        let cache = self.repository_cache(id);
        let listing = self.listing(id).await?;
        self.check_disk(&cache, &listing.files)?;
        // Files of the same content share a blob, which is downloaded once.
        let mut blobs = BTreeSet::new();
        let files: Vec<&RemoteFile> = listing.files.iter().filter(|file| blobs.insert(file.hash.etag())).collect();
        let total = files.iter().map(|file| file.bytes).sum();
        let download = Download {
            hub: self,
            id,
            repository: self.repository(id),
            commit: &listing.commit,
            cache: &cache,
            meter: Meter::new(report, total, files.len()),
        };
        let coming: Vec<_> = files.into_iter().map(|file| download.bring(file)).collect();
        stream::iter(coming).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        self.complete(&cache, &listing)?;
        Ok(cache.snapshot_of(&listing.commit))
    }

    /// The files and the commit that the hub has now.
    pub(super) async fn listing(&self, id: &str) -> Result<Listing, HubError> {
        let mut tries = self.tries();
        loop {
            match self.ask_for_listing(id).await {
                Ok(answer) => return Listing::choose(id, answer),
                Err(failure) => tries.wait_after(failure).await?,
            }
        }
    }

    pub(super) fn tries(&self) -> Tries<'_> {
        Tries { hub: self, failed: 0 }
    }

    fn complete(&self, cache: &RepositoryCache, listing: &Listing) -> Result<(), HubError> {
        for file in &listing.files {
            cache.link(&listing.commit, &file.name, file.hash.etag())?;
        }
        cache.set_main(&listing.commit)
    }

    fn check_disk(&self, cache: &RepositoryCache, files: &[RemoteFile]) -> Result<(), HubError> {
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let needed: u64 = files
            .iter()
            .filter(|file| !cache.blob(file.hash.etag()).exists())
            .map(|file| file.bytes.saturating_sub(size(&cache.incomplete(file.hash.etag()))))
            .sum();
        let folder = self.cache_folder();
        std::fs::create_dir_all(folder).map_err(HubError::io("create", folder))?;
        let free = (self.settings.free_bytes)(folder).map_err(HubError::io("read", folder))?;
        if needed > 0 && needed + SPARE_BYTES > free {
            return Err(HubError::DiskFull { folder: folder.to_owned(), needed, free });
        }
        Ok(())
    }
}

struct Download<'a> {
    hub: &'a Hub,
    id: &'a str,
    repository: HFRepository<RepoTypeModel>,
    commit: &'a str,
    cache: &'a RepositoryCache,
    meter: Meter<'a>,
}

impl Download<'_> {
    /// Downloads one file, unless its blob is here already.
    async fn bring(&self, file: &RemoteFile) -> Result<(), HubError> {
        let etag = file.hash.etag();
        let blob = self.cache.blob(etag);
        if blob.metadata().is_ok_and(|metadata| metadata.len() == file.bytes) {
            self.meter.begin(&file.name, file.bytes, file.bytes);
            self.meter.finish(&file.name);
            return Ok(());
        }
        let _lock: File = self.cache.lock(etag)?;
        let mut partial = open_partial(self.cache.incomplete(etag), file.clone()).await?;
        self.meter.begin(&file.name, partial.bytes(), file.bytes);
        self.bring_missing(file, &mut partial).await?;
        if !partial.is_right() {
            tracing::warn!("{} of {} has the wrong hash; it is downloaded once more", file.name, self.id);
            partial.restart()?;
            self.meter.restart(&file.name);
            self.bring_missing(file, &mut partial).await?;
        }
        if !partial.is_right() {
            partial.restart()?;
            return Err(HubError::WrongHash { id: self.id.to_owned(), file: file.name.clone() });
        }
        partial.finish(&blob)?;
        self.meter.finish(&file.name);
        Ok(())
    }

    async fn bring_missing(&self, file: &RemoteFile, partial: &mut PartialFile) -> Result<(), HubError> {
        let mut tries = self.hub.tries();
        while partial.missing() > 0 {
            let before = partial.bytes();
            if let Err(failure) = self.stream(file, partial).await {
                if partial.bytes() > before {
                    tries = self.hub.tries();
                }
                tries.wait_after(failure).await?;
            }
        }
        Ok(())
    }

    /// One request for the rest of the file; an answer that is cut short is a failure.
    async fn stream(&self, file: &RemoteFile, partial: &mut PartialFile) -> Result<(), Failure> {
        let range = (partial.bytes() > 0).then_some(partial.bytes()..file.bytes);
        let request = self.repository.download_file_stream().filename(&file.name).revision(self.commit);
        let answer = request.maybe_range(range).send().await;
        let (_, mut stream) = answer.map_err(|error| self.hub.request(self.id).failure(error))?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.hub.request(self.id).failure(error))?;
            if chunk.len() as u64 > partial.missing() {
                // The server sent the file from its start although it was asked for the rest.
                partial.restart()?;
                self.meter.restart(&file.name);
                return Err(Failure::passing("the hub sent more bytes than the file has"));
            }
            partial.append(&chunk)?;
            self.meter.receive(&file.name, chunk.len() as u64);
        }
        if partial.missing() > 0 { Err(Failure::passing("the connection broke off")) } else { Ok(()) }
    }
}

/// Hashes what is here of a file without holding up other tasks.
async fn open_partial(path: PathBuf, file: RemoteFile) -> Result<PartialFile, HubError> {
    let opened = path.clone();
    tokio::task::spawn_blocking(move || PartialFile::open(&opened, &file))
        .await
        .unwrap_or_else(|error| Err(HubError::Io { action: "read", path, source: error.into() }))
}

/// Pauses between tries: those that the hub asks for, else ever longer ones.
pub(super) struct Tries<'a> {
    hub: &'a Hub,
    failed: u32,
}

impl Tries<'_> {
    /// Waits until the next try, or gives up with the failure's error.
    pub(super) async fn wait_after(&mut self, failure: Failure) -> Result<(), HubError> {
        let (problem, asked) = match failure {
            Failure::Lasting(error) => return Err(error),
            Failure::Passing { problem, wait } => (problem, wait),
        };
        self.failed += 1;
        if let Some(wait) = asked.filter(|wait| *wait > MAX_WAIT) {
            return Err(HubError::Busy { seconds: wait.as_secs() });
        }
        if self.failed >= MAX_TRIES {
            return Err(HubError::Unreachable { endpoint: self.hub.endpoint().to_owned(), problem });
        }
        let wait = asked.unwrap_or(self.hub.settings.first_retry * 2u32.pow(self.failed - 1));
        tracing::info!("{problem}; trying again in {wait:?}");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
