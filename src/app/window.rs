//! The window's frame: what happened is taken in, the state is drawn, what the person asked for is applied.

use super::dialogs::Dialogs;
use super::files::{self, Found, Opened};
use super::inbox::Inbox;
use super::loads::{Load, Loader};
use super::pace::Pace;
use super::parallel::LiveRun;
use super::scaling::LiveScaling;
use super::single::LiveSingle;
use super::storage::{Storage, Stored};
use super::verify::LiveVerify;
use super::work::{Wake, Work, take_done};
use super::{catalog, machine};
use crate::engine::EngineSettings;
use crate::platform::{self, MenuBar, SingleInstance};
use crate::protocol::{DeviceKind, ListedModel, MachineMemory, ModelSource};
use crate::session::LoadedModel;
use crate::state::{AppState, MemoryCard, RunRecord, Settings, ThemeChoice, Tone, presets};
use crate::ui::Contents;
use eframe::CreationContext;
use egui::ViewportCommand;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// How long settings wait to be written, so that a slider's way is one file.
const SETTINGS_PAUSE: Duration = Duration::from_millis(500);

/// How long a closing window waits for a stopped run to be written.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// What the window needs of the world; tests give it a scripted one.
pub struct World {
    /// Loads a model.
    pub loader: Loader,
    /// Opens file dialogs.
    pub dialogs: Dialogs,
    /// Where settings and runs lie.
    pub storage: Storage,
    /// Files to open, at launch and later.
    pub inbox: Inbox,
    /// The right to be the only window; none where it could not be claimed.
    pub instance: Option<SingleInstance>,
}

/// The window.
pub struct WindowApp {
    pub(super) state: AppState,
    contents: Contents,
    pub(super) world: World,
    pub(super) pace: Pace,
    pub(super) wake: Wake,
    pub(super) model: Option<LoadedModel>,
    pub(super) load: Option<Load>,
    /// What the loaded model's engine was told.
    pub(super) told_engine: Option<EngineSettings>,
    pub(super) run: Option<LiveRun>,
    pub(super) single: Option<LiveSingle>,
    pub(super) verify: Option<LiveVerify>,
    pub(super) scaling: Option<LiveScaling>,
    /// The file of the run that is shown.
    pub(super) run_file: Option<PathBuf>,
    /// The settings' model, until the files that were given at launch have been looked at.
    pub(super) model_at_launch: Option<ModelSource>,
    looking: Option<Work<Vec<Found>>>,
    pub(super) opening: Option<Work<Option<Opened>>>,
    pub(super) exporting: Option<Work<Option<PathBuf>>>,
    pub(super) choosing: Option<Work<Option<PathBuf>>>,
    pub(super) rewriting: Option<Work<RunRecord>>,
    pub(super) listing: Option<Work<Vec<ListedModel>>>,
    recalling: Option<Work<Vec<RunRecord>>>,
    saving: Option<Work<()>>,
    saved: Settings,
    unsaved_since: Option<Instant>,
    machine: watch::Receiver<MachineMemory>,
    /// The menu bar, where the system has one outside of the window.
    pub(super) menu: Option<MenuBar>,
    /// Keys that a menu's command stands for, until the next frame.
    pub(super) menu_keys: Vec<(egui::Key, egui::Modifiers)>,
    theme: Option<ThemeChoice>,
    zoom: f32,
}

impl WindowApp {
    /// Begins to load the model of the settings that were `stored`. Must be called within a tokio runtime.
    pub fn new(context: &CreationContext<'_>, mut world: World, stored: Stored) -> Self {
        let egui = context.egui_ctx.clone();
        crate::ui::install(&egui);
        let Stored { settings, notice } = stored;
        let is_software = platform::is_drawn_by_software(context);
        if is_software {
            crate::ui::stand_still(&egui);
        }
        let pace = Pace::new(egui.clone(), is_software);
        let wake: Wake = Arc::new(move || egui.request_repaint());
        let mut state = AppState { presets: presets().unwrap_or_default(), ..AppState::default() };
        if let Some(notice) = notice {
            state.notify(Tone::Problem, notice);
        }
        let menu_wake = Arc::clone(&wake);
        let menu = match MenuBar::install(move || menu_wake()) {
            Ok(menu) => Some(menu),
            Err(error) => {
                tracing::warn!("no menu bar: {error}");
                None
            }
        };
        let source = settings.model.clone();
        world.inbox.wake_with(Arc::clone(&wake));
        if let Some(instance) = world.instance.take() {
            let inbox = world.inbox.clone();
            if let Err(error) = instance.listen(move |files| inbox.open(files)) {
                tracing::warn!("a second start can't be heard: {error}");
            }
        }
        state.settings = settings.clone();
        let storage = world.storage.clone();
        let recalling = Some(Work::blocking(wake.clone(), move || Ok(storage.read_runs())));
        let mut window = Self {
            state,
            contents: Contents::default(),
            pace,
            listing: None,
            recalling,
            wake,
            model: None,
            load: None,
            told_engine: None,
            run: None,
            single: None,
            verify: None,
            scaling: None,
            run_file: None,
            model_at_launch: None,
            looking: None,
            opening: None,
            exporting: None,
            choosing: None,
            rewriting: None,
            saving: None,
            saved: settings,
            unsaved_since: None,
            machine: machine::watch_memory(),
            menu,
            menu_keys: Vec::new(),
            theme: None,
            zoom: 0.0,
            world,
        };
        window.model_at_launch = Some(source);
        window.take_inbox(&context.egui_ctx);
        window.list_models();
        window
    }

    /// What is shown, for tests.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Takes in what happened since the last frame.
    fn take_in(&mut self, context: &egui::Context) {
        self.pace.drained();
        self.take_model();
        self.tell_engine();
        self.take_run();
        self.take_verification();
        self.take_scaling();
        if let Some(single) = &mut self.single
            && !single.drain(&mut self.state.single)
        {
            self.single = None;
        }
        self.take_menu(context);
        self.take_files();
        self.take_dropped(context);
        self.take_inbox(context);
        self.state.machine = *self.machine.borrow();
        if let Some(model) = &self.model {
            self.state.memory = MemoryCard {
                figures: model.engine().memory(),
                memory_limit: self.state.machine.total,
                cache_limit: self.state.settings.parallel.cache_limit(),
            };
        }
        self.keep_settings(context);
        if self.state.is_busy() || self.state.model.is_loading() {
            self.pace.go_on();
        }
    }

    /// Looks at the disk for models, so that the picker knows what is here.
    pub(super) fn list_models(&mut self) {
        let device = self.model.as_ref().map_or(DeviceKind::Cpu, |model| model.summary().facts.device);
        self.listing = Some(catalog::list(device, self.wake.clone()));
    }

    /// Takes in files that were opened or dropped, and the wish of another start to see this window.
    fn take_inbox(&mut self, context: &egui::Context) {
        if self.world.inbox.take_wants_front() {
            context.send_viewport_cmd(ViewportCommand::Minimized(false));
            context.send_viewport_cmd(ViewportCommand::Focus);
        }
        if let Some(Ok(found)) = take_done(&mut self.looking) {
            found.into_iter().for_each(|found| self.take_found(found));
        }
        if self.looking.is_some() {
            return;
        }
        let waiting = self.world.inbox.take_files();
        if !waiting.is_empty() {
            tracing::info!(files = waiting.len(), "opening files");
            self.looking = Some(files::look_at(waiting, self.wake.clone()));
        } else if let Some(source) = self.model_at_launch.take()
            && self.load.is_none()
        {
            self.load_model(source);
        }
    }

    fn take_files(&mut self) {
        if let Some(outcome) = take_done(&mut self.recalling) {
            // A run may have ended before the list was read.
            let known = std::mem::take(&mut self.state.recent);
            self.state.recent = outcome.unwrap_or_default();
            known.into_iter().rev().for_each(|record| self.state.remember(record));
        }
        if let Some(Ok(models)) = take_done(&mut self.listing) {
            self.state.models = models;
        }
        if let Some(outcome) = take_done(&mut self.opening) {
            match outcome {
                Ok(Some((report, path))) => self.show_opened(report, path),
                Ok(None) => {}
                Err(message) => self.state.notify(Tone::Problem, message),
            }
        }
        if let Some(outcome) = take_done(&mut self.exporting) {
            match outcome {
                Ok(Some(path)) => self.state.notify(Tone::Info, format!("Saved as {}", path.display())),
                Ok(None) => {}
                Err(message) => self.state.notify(Tone::Problem, message),
            }
        }
        if let Some(outcome) = take_done(&mut self.choosing) {
            match outcome {
                Ok(Some(path)) => self.world.inbox.add([path]),
                Ok(None) => {}
                Err(message) => self.state.notify(Tone::Problem, message),
            }
        }
        if let Some(outcome) = take_done(&mut self.rewriting) {
            match outcome {
                Ok(record) => self.state.remember(record),
                Err(message) => self.state.notify(Tone::Problem, format!("The run could not be kept: {message}")),
            }
        }
        self.state.dialog_is_open = self.opening.is_some() || self.exporting.is_some() || self.choosing.is_some();
    }

    /// Brings theme and zoom to the window, and settings to their file.
    fn keep_settings(&mut self, context: &egui::Context) {
        let settings = &mut self.state.settings;
        if self.theme != Some(settings.theme) {
            self.theme = Some(settings.theme);
            context.set_theme(match settings.theme {
                ThemeChoice::System => egui::ThemePreference::System,
                ThemeChoice::Light => egui::ThemePreference::Light,
                ThemeChoice::Dark => egui::ThemePreference::Dark,
            });
        }
        if settings.zoom != self.zoom {
            context.set_zoom_factor(settings.zoom);
        } else if context.zoom_factor() != settings.zoom {
            // Cmd-plus and Cmd-minus.
            settings.zoom = context.zoom_factor();
        }
        self.zoom = settings.zoom;
        let size = context.input(|input| {
            let viewport = input.viewport();
            let is_free = viewport.maximized != Some(true) && viewport.fullscreen != Some(true);
            viewport.inner_rect.filter(|_| is_free).map(|rect| rect.size())
        });
        if let Some(size) = size.filter(|size| size.x >= 1.0 && size.y >= 1.0) {
            // The window's size is in points at zoom 1.
            settings.window_size = [(size.x * settings.zoom).round(), (size.y * settings.zoom).round()];
        }
        take_done(&mut self.saving).into_iter().for_each(|outcome| {
            if let Err(message) = outcome {
                self.state.notify(Tone::Problem, format!("The settings could not be saved: {message}"));
            }
        });
        if self.state.settings == self.saved {
            self.unsaved_since = None;
            return;
        }
        let since = *self.unsaved_since.get_or_insert_with(Instant::now);
        if since.elapsed() < SETTINGS_PAUSE || self.saving.is_some() {
            context.request_repaint_after(SETTINGS_PAUSE);
            return;
        }
        self.saved = self.state.settings.clone();
        let (storage, settings) = (self.world.storage.clone(), self.saved.clone());
        self.saving = Some(Work::blocking(self.wake.clone(), move || {
            storage.write_settings(&settings).map_err(|error| error.to_string())
        }));
    }
}

impl eframe::App for WindowApp {
    fn logic(&mut self, context: &egui::Context, _frame: &mut eframe::Frame) {
        self.take_in(context);
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        let actions = self.contents.show(ui, &self.state);
        for action in actions {
            self.apply(ui.ctx(), action);
        }
        if let Some(seconds) = frame.info().cpu_usage {
            self.pace.spent(f64::from(seconds));
        }
    }

    fn raw_input_hook(&mut self, _context: &egui::Context, input: &mut egui::RawInput) {
        self.press_menu_keys(input);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

/// What the window does as it closes. eframe drops it then, on the thread that drew it.
impl Drop for WindowApp {
    fn drop(&mut self) {
        self.load = None;
        self.single = None;
        self.verify = None;
        self.scaling = None;
        if let Some(run) = self.run.take() {
            run.close(CLOSING_PATIENCE);
        }
        // A process that ends while MLX computes crashes: the engine's thread goes first.
        if let (Some(model), Ok(runtime)) = (self.model.take(), Handle::try_current()) {
            runtime.block_on(model.engine().shutdown());
        }
        if self.state.settings != self.saved
            && let Err(error) = self.world.storage.write_settings(&self.state.settings)
        {
            tracing::warn!("the settings could not be saved: {error}");
        }
    }
}
