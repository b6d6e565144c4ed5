//! Downloads end with whole and right files, or say why not: against a hub on this machine that fails in every way it can.

use crate::local_hub::{COMMIT, Fault, ID, LISTING, LocalHub, sha256};
use llmeval::hub::{Hub, HubError, HubSettings, ModelFiles, Token};
use llmeval::protocol::{LoadProgress, ModelSource};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const SHARD: &str = "model.safetensors";
const SHARD_BYTES: usize = 300_000;

/// The files of a repository: those that a model needs and some that it doesn't.
fn repository() -> BTreeMap<String, Vec<u8>> {
    let shard = (0..SHARD_BYTES).map(|place| (place * 31 % 251) as u8).collect();
    BTreeMap::from([
        ("README.md".into(), b"# Tiny".to_vec()),
        ("config.json".into(), b"{\"model_type\": \"llama\"}".to_vec()),
        ("tokenizer.json".into(), b"{}".to_vec()),
        ("chat_template.jinja".into(), b"{{ messages }}".to_vec()),
        (SHARD.into(), shard),
        ("consolidated.safetensors".into(), vec![0; 10]),
    ])
}

/// A local hub, an empty cache, and the settings that join them.
struct Setup {
    server: LocalHub,
    cache: TempDir,
    settings: HubSettings,
}

impl Setup {
    fn new() -> Self {
        Self::with(repository())
    }

    fn with(files: BTreeMap<String, Vec<u8>>) -> Self {
        let (server, cache) = (LocalHub::start(files), TempDir::new().unwrap());
        let settings = HubSettings {
            endpoint: Some(server.endpoint.clone()),
            cache: Some(cache.path().to_owned()),
            token: None,
            kept_token: || None,
            offline: false,
            first_retry: Duration::from_millis(1),
            free_bytes: |_| Ok(u64::MAX),
        };
        Self { server, cache, settings }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.settings.clone()).unwrap()
    }

    async fn pull(&self) -> Result<ModelFiles, HubError> {
        self.hub().pull(ID, |_| ()).await
    }

    async fn error(&self) -> String {
        self.pull().await.expect_err("the download should fail").to_string()
    }

    fn folder(&self) -> PathBuf {
        self.cache.path().join("models--owner--tiny")
    }

    /// Everything that a program which shares the cache relies on.
    fn assert_whole(&self) {
        let snapshot = self.folder().join("snapshots").join(COMMIT);
        assert_eq!(std::fs::read_to_string(self.folder().join("refs/main")).unwrap(), COMMIT);
        let shard = snapshot.join(SHARD);
        let content = std::fs::read(&shard).unwrap();
        assert_eq!(sha256(&content), sha256(&repository()[SHARD]));
        let blob = PathBuf::from("../../blobs").join(sha256(&content));
        assert_eq!(std::fs::read_link(&shard).unwrap(), blob, "the snapshot links to the blob by a relative path");
        assert!(!self.incomplete().exists());
    }

    fn incomplete(&self) -> PathBuf {
        self.folder().join("blobs").join(format!("{}.incomplete", sha256(&repository()[SHARD])))
    }

    /// The ranges of the requests for the shard.
    fn ranges(&self) -> Vec<Option<String>> {
        self.server.gets(SHARD).into_iter().map(|request| request.range).collect()
    }
}

/// How many bytes of a file have been downloaded so far.
fn here_of(progress: &LoadProgress, name: &str) -> Option<u64> {
    let LoadProgress::Downloading { files, .. } = progress else { return None };
    files.iter().find(|file| file.name == name).map(|file| file.done_bytes)
}

fn rest_from(start: usize) -> Option<String> {
    Some(format!("bytes={start}-{}", SHARD_BYTES - 1))
}

#[tokio::test]
async fn only_the_needed_files_come_into_the_standard_cache() {
    let setup = Setup::new();
    let ModelFiles::Folder(files) = setup.pull().await.unwrap() else { panic!("a repository is a folder") };
    setup.assert_whole();
    assert_eq!(files.chat_template, Some(files.folder.join("chat_template.jinja")));
    let mut names: Vec<_> = std::fs::read_dir(&files.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["chat_template.jinja", "config.json", SHARD, "tokenizer.json"]);
}

#[tokio::test]
async fn a_model_that_is_here_makes_no_request() {
    let setup = Setup::new();
    let files = setup.pull().await.unwrap();
    let before = setup.server.gets(LISTING).len();
    let source = ModelSource::Hub(ID.into());
    assert_eq!(setup.hub().resolve(&source, |_| ()).await.unwrap(), files);
    assert_eq!(setup.server.gets(LISTING).len(), before);

    setup.pull().await.unwrap();
    assert_eq!(setup.server.gets(SHARD).len(), 1, "pulling once more asks for the listing only");
}

#[tokio::test]
async fn progress_tells_bytes_and_files_and_ends_complete() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Slow(500)]);
    let reports = Mutex::new(Vec::new());
    setup.hub().pull(ID, |progress| reports.lock().unwrap().push(progress)).await.unwrap();
    let reports = reports.into_inner().unwrap();
    let wanted: u64 = ["config.json", "tokenizer.json", "chat_template.jinja", SHARD]
        .iter()
        .map(|name| repository()[*name].len() as u64)
        .sum();
    let mut before = 0;
    for report in &reports {
        let LoadProgress::Downloading { files, done_bytes, total_bytes, .. } = report else {
            panic!("nothing is loaded here: {report:?}")
        };
        assert!(*done_bytes >= before && files.iter().all(|file| file.done_bytes <= file.total_bytes));
        assert_eq!(*total_bytes, Some(wanted));
        before = *done_bytes;
    }
    let Some(LoadProgress::Downloading { files, done_bytes, done_files, total_files, .. }) = reports.last() else {
        panic!("there was no progress")
    };
    assert_eq!((files.len(), *done_bytes, *done_files, *total_files), (0, wanted, 4, 4));
    let halfway = |report: &LoadProgress| here_of(report, SHARD).is_some_and(|bytes| (1..300_000).contains(&bytes));
    assert!(reports.iter().any(halfway), "each file's bytes are told while it comes");
    let speeds = reports.iter().any(|report| report.seconds_left().is_some());
    assert!(speeds, "a download of some length tells its speed");
}

/// A repository with so many shards, as large models have.
fn sharded(count: usize) -> BTreeMap<String, Vec<u8>> {
    let mut files = repository();
    files.remove(SHARD);
    for number in 1..=count {
        files.insert(format!("model-{number:05}-of-{count:05}.safetensors"), vec![number as u8; 50_000]);
    }
    files
}

#[tokio::test]
async fn four_files_come_at_once_and_no_more() {
    let setup = Setup::with(sharded(6));
    for number in 1..=6 {
        setup.server.fail(&format!("model-{number:05}-of-00006.safetensors"), [Fault::Slow(1_000)]);
    }
    let most = AtomicUsize::new(0);
    let count = |progress| {
        if let LoadProgress::Downloading { files, .. } = progress {
            most.fetch_max(files.len(), Ordering::Relaxed);
        }
    };
    setup.hub().pull(ID, count).await.unwrap();
    assert_eq!(most.into_inner(), 4);
}

#[tokio::test]
async fn one_file_that_fails_ends_all_and_what_came_of_the_others_is_kept() {
    let setup = Setup::with(sharded(3));
    setup.server.fail("model-00001-of-00003.safetensors", [Fault::Status(404)]);
    for number in [2, 3] {
        setup.server.fail(&format!("model-{number:05}-of-00003.safetensors"), [Fault::Slow(500)]);
    }
    setup.error().await;
    assert_eq!(setup.hub().cached(ID).unwrap(), None);
    setup.pull().await.unwrap();
}

#[tokio::test]
async fn files_of_the_same_content_come_once() {
    let mut files = repository();
    files.insert("tokenizer_config.json".into(), files["tokenizer.json"].clone());
    let setup = Setup::with(files);
    let ModelFiles::Folder(folder) = setup.pull().await.unwrap() else { panic!("a repository is a folder") };
    assert!(folder.tokenizer_config.is_some());
    assert_eq!(setup.server.gets("tokenizer.json").len() + setup.server.gets("tokenizer_config.json").len(), 1);
}

#[tokio::test]
async fn a_cut_connection_goes_on_where_it_broke() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Cut(100_000), Fault::Cut(50_000)]);
    setup.pull().await.unwrap();
    setup.assert_whole();
    assert_eq!(setup.ranges(), [None, rest_from(100_000), rest_from(150_000)]);
}

#[tokio::test]
async fn a_stopped_download_keeps_its_bytes_and_goes_on() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Slow(1_000)]);
    let hub = setup.hub();
    let (reached, mut halfway) = tokio::sync::mpsc::unbounded_channel();
    let pull = hub.pull(ID, move |progress| {
        if here_of(&progress, SHARD).is_some_and(|bytes| bytes >= 20_000) {
            let _ = reached.send(());
        }
    });
    tokio::select! {
        result = pull => panic!("the download should be slower than its stop: {result:?}"),
        _ = halfway.recv() => {}
    }
    let kept = setup.incomplete().metadata().unwrap().len();
    assert!(kept >= 20_000);
    assert_eq!(hub.bytes_on_disk(ID).unwrap().1, kept);
    assert_eq!(hub.cached(ID).unwrap(), None, "a half download is no model");

    setup.pull().await.unwrap();
    setup.assert_whole();
    assert_eq!(setup.ranges(), [None, rest_from(kept as usize)]);
}

#[tokio::test]
async fn what_a_cancelled_download_left_can_be_thrown_away() {
    let setup = Setup::new();
    setup.server.fail(SHARD, vec![Fault::Cut(0); 5]);
    setup.error().await;
    std::fs::write(setup.incomplete(), vec![0; 1_000]).unwrap();
    setup.hub().discard_partial(ID).unwrap();
    assert!(!setup.incomplete().exists());
}

#[tokio::test]
async fn wrong_bytes_are_noticed_and_come_again() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Wrong]);
    setup.pull().await.unwrap();
    setup.assert_whole();
    assert_eq!(setup.ranges(), [None, None]);
}

#[tokio::test]
async fn bytes_that_are_wrong_twice_are_an_error_and_no_model() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Wrong, Fault::Wrong]);
    let error = setup.error().await;
    assert!(error.contains(SHARD) && error.contains("damaged"), "{error}");
    assert_eq!(setup.hub().cached(ID).unwrap(), None);
    setup.pull().await.unwrap();
    setup.assert_whole();
}

#[tokio::test]
async fn bytes_of_an_earlier_try_that_are_wrong_are_replaced() {
    let setup = Setup::new();
    std::fs::create_dir_all(setup.incomplete().parent().unwrap()).unwrap();
    std::fs::write(setup.incomplete(), vec![7; 1_000]).unwrap();
    setup.pull().await.unwrap();
    setup.assert_whole();
    assert_eq!(setup.ranges(), [rest_from(1_000), None]);
}

#[tokio::test]
async fn a_server_without_ranges_still_serves() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Cut(100_000), Fault::WithoutRange]);
    setup.pull().await.unwrap();
    setup.assert_whole();
}

#[tokio::test]
async fn redirections_are_followed() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Redirect]);
    setup.pull().await.unwrap();
    setup.assert_whole();
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let setup = Setup::new();
    setup.server.fail(LISTING, [Fault::Status(500), Fault::Busy(0)]);
    setup.server.fail(SHARD, [Fault::Status(503), Fault::Busy(1), Fault::Status(500)]);
    setup.pull().await.unwrap();
    setup.assert_whole();
    assert_eq!(setup.server.gets(SHARD).len(), 4);
}

#[tokio::test]
async fn a_long_pause_that_the_hub_asks_for_is_told_at_once() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Busy(3_600)]);
    let error = setup.error().await;
    assert!(error.contains("3600 s"), "{error}");
}

#[tokio::test]
async fn a_hub_that_keeps_failing_is_given_up() {
    let setup = Setup::new();
    setup.server.fail(SHARD, vec![Fault::Status(500); 5]);
    let error = setup.error().await;
    assert!(error.contains(&setup.server.endpoint) && error.contains("500"), "{error}");
    assert_eq!(setup.server.gets(SHARD).len(), 5);
}

#[tokio::test]
async fn no_network_says_so() {
    let mut setup = Setup::new();
    // Port 9 of this machine: nothing listens there.
    setup.settings.endpoint = Some("http://127.0.0.1:9".into());
    let error = setup.error().await;
    assert!(error.contains("http://127.0.0.1:9") && error.contains("network"), "{error}");
}

#[tokio::test]
async fn offline_cached_models_work_and_others_say_why_not() {
    let mut setup = Setup::new();
    let files = setup.pull().await.unwrap();
    setup.settings.offline = true;
    let hub = setup.hub();
    assert_eq!(hub.resolve(&ModelSource::Hub(ID.into()), |_| ()).await.unwrap(), files);
    let error = hub.resolve(&ModelSource::Hub("owner/other".into()), |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("owner/other") && error.contains("HF_HUB_OFFLINE"), "{error}");
}

#[tokio::test]
async fn a_private_model_asks_for_a_token() {
    let mut setup = Setup::new();
    setup.server.require_token("hf_secret");
    assert!(matches!(setup.pull().await, Err(HubError::TokenNeeded(id)) if id == ID));
    let error = setup.error().await;
    assert!(error.contains("HF_TOKEN"), "{error}");

    setup.settings.token = Token::new("hf_wrong");
    assert!(matches!(setup.pull().await, Err(HubError::TokenRefused(id)) if id == ID));

    setup.settings.token = Token::new("  hf_secret\n");
    setup.pull().await.unwrap();
    setup.assert_whole();
}

#[tokio::test]
async fn the_kept_token_is_asked_for_only_when_needed() {
    let mut setup = Setup::new();
    setup.settings.kept_token = || panic!("an open model needs no token");
    setup.pull().await.unwrap();

    let mut setup = Setup::new();
    setup.server.require_token("hf_kept");
    setup.settings.kept_token = || Token::new("hf_kept");
    setup.pull().await.unwrap();
    setup.assert_whole();
}

#[tokio::test]
async fn a_token_is_never_shown() {
    let mut setup = Setup::new();
    setup.server.require_token("hf_secret");
    setup.settings.token = Token::new("hf_secret");
    setup.server.fail(SHARD, [Fault::Status(403)]);
    assert!(!setup.error().await.contains("hf_secret"));
    assert!(!format!("{:?}", setup.settings).contains("hf_secret"));
    assert_eq!(Token::new("two words"), None);
    assert_eq!(Token::new(" "), None);
}

#[tokio::test]
async fn a_repository_that_is_not_there_or_no_model_is_named() {
    let setup = Setup::new();
    let error = setup.hub().pull("owner/other", |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("no model owner/other"), "{error}");

    for missing in ["config.json", "tokenizer.json", SHARD] {
        let mut files = repository();
        files.remove(missing);
        let error = Setup::with(files).error().await;
        assert!(error.contains(ID) && error.contains(&format!("no {missing}")), "{error}");
    }
    let error = Setup::with(BTreeMap::from([("tiny.Q4_1.gguf".into(), vec![0])])).error().await;
    assert!(error.contains("GGUF"), "{error}");
}

#[tokio::test]
async fn what_is_no_hub_id_is_refused_without_a_request() {
    let setup = Setup::new();
    for id in ["", "name", "owner/", "../etc", "owner/..", "a/b/c", "owner/na me", "owner/name?x=1"] {
        let error = setup.hub().pull(id, |_| ()).await.unwrap_err();
        assert!(matches!(error, HubError::InvalidId(_)), "{id}: {error}");
    }
    assert!(setup.server.gets(LISTING).is_empty());
}

#[tokio::test]
async fn a_full_disk_is_noticed_before_a_byte_comes() {
    let mut setup = Setup::new();
    setup.settings.free_bytes = |_| Ok(100_000_000);
    let error = setup.error().await;
    assert!(error.contains("make room"), "{error}");
    assert!(setup.server.gets("config.json").is_empty());
}

#[tokio::test]
async fn two_downloads_of_one_model_do_not_mix() {
    let setup = Setup::new();
    setup.server.fail(SHARD, [Fault::Slow(1_000)]);
    let (first, second) = (setup.hub(), setup.hub());
    let (reached, mut under_way) = tokio::sync::mpsc::unbounded_channel();
    let first = async move {
        first
            .pull(ID, move |progress| {
                if here_of(&progress, SHARD).is_some() {
                    let _ = reached.send(());
                }
            })
            .await
    };
    let second = async {
        under_way.recv().await;
        second.pull(ID, |_| ()).await
    };
    let (first, second) = tokio::join!(first, second);
    first.unwrap();
    setup.assert_whole();
    assert!(matches!(second, Err(HubError::InUse(_))), "{second:?}");
}

#[tokio::test]
async fn a_removed_model_frees_its_bytes() {
    let setup = Setup::new();
    setup.pull().await.unwrap();
    let hub = setup.hub();
    assert!(hub.cached_ids().contains(ID));
    assert!(hub.remove(ID).unwrap() > SHARD_BYTES as u64);
    assert!(!setup.folder().exists() && hub.cached_ids().is_empty());
    assert!(matches!(hub.remove(ID), Err(HubError::NotDownloaded(_))));
}
