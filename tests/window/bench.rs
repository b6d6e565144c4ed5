//! What the window's tests drive: the real window over a scripted engine, in a folder of its own.

use crate::support::scripted::{Call, Log, Script, ScriptedBackend, text_with_template};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, Node};
use llmeval::app::{Answer, Ask, Inbox, Storage, WindowApp, World};
use llmeval::engine::{self, EngineSettings, LoadCancel};
use llmeval::platform::SingleInstance;
use llmeval::protocol::{DeviceKind, LoadProgress, ModelFacts, ModelSource, Packing, RunReport};
use llmeval::session::LoadedModel;
use llmeval::state::AppState;
use llmeval::text::TextModel;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The longest that a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a load ends.
#[derive(Clone)]
pub enum LoadScript {
    /// With the scripted model.
    Loads(Script),
    /// With this error.
    Fails(String),
    /// Never; it stays at this progress.
    Hangs(LoadProgress),
}

/// What the world of one window looks like.
#[derive(Clone)]
pub struct Setting {
    pub size: egui::Vec2,
    pub folder: Arc<tempfile::TempDir>,
    /// How each load ends, in order; the last one stands for all that follow.
    pub loads: Vec<LoadScript>,
    /// What the dialogs answer, in order.
    pub answers: Vec<Option<PathBuf>>,
    pub facts: ModelFacts,
    /// What the engine was asked to do.
    pub log: Log,
    /// Files that are opened at launch.
    pub files: Vec<PathBuf>,
    /// The right to be the only window, for the first one that is opened.
    pub instance: Arc<Mutex<Option<SingleInstance>>>,
}

/// What a loaded starter model says of itself.
pub fn starter_facts() -> ModelFacts {
    ModelFacts {
        architecture: "llama".into(),
        parameters: 134_515_008,
        weight_bytes: 538_060_032,
        kv_bytes_per_token: 46_080,
        context_length: 8192,
        device: DeviceKind::Cpu,
        load_seconds: 0.5,
        exact_width: Ok(8),
        packed_bits: None,
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            size: egui::vec2(1280.0, 800.0),
            folder: Arc::new(tempfile::tempdir().unwrap()),
            loads: vec![LoadScript::Loads(Script::default())],
            answers: Vec::new(),
            files: Vec::new(),
            instance: Arc::default(),
            facts: starter_facts(),
            log: Log::default(),
        }
    }
}

impl Setting {
    pub fn script(script: Script) -> Self {
        Self { loads: vec![LoadScript::Loads(script)], ..Self::default() }
    }

    pub fn sized(self, width: f32, height: f32) -> Self {
        Self { size: egui::vec2(width, height), ..self }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A window and everything around it.
pub struct Bench {
    // Dropped before the runtime that its tasks run on.
    harness: Option<Harness<'static, WindowApp>>,
    runtime: Runtime,
    setting: Setting,
    asked: Arc<Mutex<Vec<Ask>>>,
    sources: Arc<Mutex<Vec<(ModelSource, Packing)>>>,
}

impl Bench {
    /// Opens the window and waits until the first load ended, unless it hangs.
    pub fn open(setting: Setting) -> Self {
        let bench = Self::launch(setting);
        let mut bench = bench;
        if !matches!(bench.setting.loads.first(), Some(LoadScript::Hangs(_))) {
            bench.wait("the first load", |state| !state.model.is_loading());
        }
        bench
    }

    fn launch(setting: Setting) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let sources = Arc::new(Mutex::new(Vec::new()));
        let inbox = Inbox::default();
        if !setting.files.is_empty() {
            inbox.open(setting.files.clone());
        }
        let world = World {
            loader: loader(&setting, sources.clone()),
            dialogs: dialogs(&setting, asked.clone()),
            storage: Storage::in_folder(setting.path()),
            inbox,
            instance: setting.instance.lock().unwrap().take(),
        };
        let stored = world.storage.read_settings();
        let guard = runtime.enter();
        let harness = Harness::builder()
            .with_size(setting.size)
            .with_max_steps(64)
            .with_os(egui::os::OperatingSystem::Nix)
            .allow_missing_glyphs()
            .build_eframe(|context| WindowApp::new(context, world, stored));
        drop(guard);
        Self { harness: Some(harness), runtime, setting, asked, sources }
    }

    /// Closes the window as a person does, and opens another one in the same folder.
    pub fn reopen(mut self) -> Self {
        self.close();
        Self::open(self.setting.clone())
    }

    /// Closes the window as a person does.
    pub fn close(&mut self) {
        let _guard = self.runtime.enter();
        self.harness = None;
    }

    pub fn harness(&mut self) -> &mut Harness<'static, WindowApp> {
        self.harness.as_mut().unwrap()
    }

    pub fn state(&self) -> &AppState {
        self.harness.as_ref().unwrap().state().state()
    }

    pub fn folder(&self) -> &Path {
        self.setting.path()
    }

    /// What the engine was asked to do so far.
    pub fn calls(&self) -> Vec<Call> {
        self.setting.log.calls()
    }

    /// What the dialogs were asked.
    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }

    /// The models that were asked for, in order.
    pub fn sources(&self) -> Vec<ModelSource> {
        self.sources.lock().unwrap().iter().map(|(source, _)| source.clone()).collect()
    }

    /// How their weights were asked for, in order.
    pub fn packings(&self) -> Vec<Packing> {
        self.sources.lock().unwrap().iter().map(|(_, packing)| *packing).collect()
    }

    /// Draws one frame.
    pub fn step(&mut self) {
        let _guard = self.runtime.enter();
        self.harness.as_mut().unwrap().step();
    }

    /// Draws a few frames, enough for a click to have had its effect.
    pub fn settle(&mut self) {
        for _ in 0..4 {
            self.step();
        }
    }

    /// Draws frames until `is_so`.
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&AppState) -> bool) {
        let begin = Instant::now();
        while !is_so(self.state()) {
            assert!(begin.elapsed() < PATIENCE, "{what} never came; notices: {:?}", self.state().notices);
            self.step();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.settle();
    }

    /// Clicks what has this accessible label.
    pub fn click(&mut self, label: &str) {
        self.node(label).click();
        self.settle();
    }

    /// Whether something with this label is shown.
    pub fn shows(&self, label: &str) -> bool {
        self.harness.as_ref().unwrap().query_all_by_label(label).next().is_some()
    }

    /// Whether something is shown whose label contains `words`.
    pub fn says(&self, words: &str) -> bool {
        self.harness.as_ref().unwrap().query_all_by_label_contains(words).next().is_some()
    }

    /// Whether what has this label can be used.
    pub fn is_enabled(&self, label: &str) -> bool {
        !self.node(label).accesskit_node().is_disabled()
    }

    /// What has exactly this label: a control before words, the first where several have it.
    pub fn node<'a>(&'a self, label: &'a str) -> Node<'a> {
        let nodes = || self.harness.as_ref().unwrap().query_all_by_label(label);
        let control = nodes().find(|node| egui::accessibility::is_input(node.accesskit_node().role()));
        control.or_else(|| nodes().next()).unwrap_or_else(|| panic!("nothing is labelled {label:?}"))
    }

    /// The label of what the keyboard is on.
    pub fn focused(&self) -> String {
        let nodes = self.harness.as_ref().unwrap().query_all_by(|node| node.is_focused());
        nodes.filter_map(|node| node.accesskit_node().label()).next().unwrap_or_default()
    }

    /// Gives the slider or number with this label a value.
    pub fn set(&mut self, label: &str, value: f64) {
        self.node(label).set_value_accesskit(value);
        self.settle();
    }

    /// Puts the cursor into the field with this label and types.
    pub fn type_into(&mut self, label: &str, text: &str) {
        self.node(label).focus();
        self.settle();
        self.node(label).type_text(text);
        self.settle();
    }

    pub fn press(&mut self, modifiers: egui::Modifiers, key: egui::Key) {
        self.harness().key_press_modifiers(modifiers, key);
        self.settle();
    }

    /// Draws frames until `is_so` for the window as a whole.
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(begin.elapsed() < PATIENCE, "{what} never came");
            self.step();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Draws frames until `text` is on the clipboard, a few at most.
    pub fn steps_until_copied(&mut self, text: &str) -> bool {
        (0..4).any(|_| {
            self.step();
            let commands = &self.harness().output().platform_output.commands;
            commands.iter().any(|command| matches!(command, egui::OutputCommand::CopyText(copied) if copied == text))
        })
    }

    /// Opens the model picker through the model's line.
    pub fn open_models(&mut self) {
        self.press(egui::Modifiers::COMMAND, egui::Key::L);
    }

    /// Closes the sheet that is open, if one is.
    pub fn close_sheet(&mut self) {
        if self.state().sheet.is_some() {
            self.press(egui::Modifiers::NONE, egui::Key::Escape);
        }
    }

    /// Gives the next parallel run's sessions this token limit.
    pub fn set_max_tokens(&mut self, tokens: u32) {
        self.click("Parallel");
        self.set("Max tokens", f64::from(tokens));
    }

    /// Drops a file on the window.
    pub fn drop_file(&mut self, path: &Path) {
        let file = DroppedPath(path.to_owned());
        self.harness().input_mut().dropped_files.push(Arc::new(file));
        self.settle();
    }

    /// Starts a run by its button and waits for its end.
    pub fn run_to_end(&mut self) {
        self.click("Run Parallel Demo");
        self.wait("the run's end", |state| state.run.as_ref().is_some_and(|run| !run.is_active()));
    }

    /// What the last frame asked of the system's window.
    pub fn window_commands(&mut self) -> Vec<egui::ViewportCommand> {
        let output = self.harness().output();
        output.viewport_output.values().flat_map(|viewport| viewport.commands.clone()).collect()
    }

    /// How long the window would stand still after the last frame.
    pub fn pause(&mut self) -> Duration {
        let output = self.harness().output();
        output.viewport_output.values().map(|viewport| viewport.repaint_delay).min().unwrap_or(Duration::MAX)
    }

    /// Whether the last frame asked for no other one.
    pub fn is_idle(&self) -> bool {
        let output = self.harness.as_ref().unwrap().output();
        output.viewport_output.values().all(|viewport| viewport.repaint_delay > Duration::from_secs(3600))
    }

    /// A folder in the mlx-community layout, as far as the window looks at it.
    pub fn model_folder(path: &Path) -> PathBuf {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(path.join("config.json"), "{}").unwrap();
        path.to_owned()
    }

    /// The files of the runs that were kept.
    pub fn run_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder().join("runs")).into_iter().flatten();
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _guard = self.runtime.enter();
        self.harness = None;
    }
}

#[derive(Debug)]
struct DroppedPath(PathBuf);

impl egui::DroppedFile for DroppedPath {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("the window reads files by their path".into())
    }
}

fn loader(setting: &Setting, sources: Arc<Mutex<Vec<(ModelSource, Packing)>>>) -> llmeval::app::Loader {
    let loads = Mutex::new(setting.loads.clone().into_iter().peekable());
    let facts = setting.facts.clone();
    let log = setting.log.clone();
    Arc::new(move |source, packing, progress| {
        sources.lock().unwrap().push((source.clone(), packing));
        let script = {
            let mut loads = loads.lock().unwrap();
            let next = loads.next().unwrap();
            if loads.peek().is_none() {
                *loads = vec![next.clone()].into_iter().peekable();
            }
            next
        };
        let (facts, log) = (facts.clone(), log.clone());
        Box::pin(async move {
            match script {
                LoadScript::Fails(message) => anyhow::bail!(message),
                LoadScript::Hangs(step) => {
                    progress(step);
                    std::future::pending().await
                }
                LoadScript::Loads(script) => {
                    let backend = move |_: &LoadCancel| Ok::<_, String>((ScriptedBackend::new(script, log), facts));
                    let started = engine::start(EngineSettings::default(), backend).await;
                    let (engine, facts) = started.map_err(|error| anyhow::anyhow!("{error}"))?;
                    Ok(LoadedModel::new(engine, text_model(), source, facts))
                }
            }
        })
    })
}

fn dialogs(setting: &Setting, asked: Arc<Mutex<Vec<Ask>>>) -> llmeval::app::Dialogs {
    let answers = Mutex::new(setting.answers.clone().into_iter());
    Arc::new(move |ask| {
        asked.lock().unwrap().push(ask);
        let answer = answers.lock().unwrap().next().flatten();
        Box::pin(std::future::ready(answer)) as Answer
    })
}

/// A small tokenizer with Qwen3's ways: thinking and tools. Only id 0 ends an answer, which no scripted token is.
pub fn text_model() -> TextModel {
    text_with_template("qwen3")
}

/// A run as text whose numbers are rounded: reading JSON may change the last bit of one.
pub fn rounded(report: &RunReport) -> String {
    fn round(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(values) => values.iter_mut().for_each(round),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(round),
            serde_json::Value::Number(number) if number.is_f64() => {
                *value = format!("{:.9e}", number.as_f64().unwrap()).into()
            }
            _ => {}
        }
    }
    let mut value = serde_json::to_value(report).unwrap();
    round(&mut value);
    value.to_string()
}
