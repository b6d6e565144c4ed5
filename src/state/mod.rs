//! What the window shows, as plain data: no egui, no tokio, no files.

mod action;
mod app_state;
mod curve;
mod export;
mod model;
mod panel;
mod presets;
mod race;
mod record;
mod results;
mod run;
mod scaling;
mod settings;
mod single;
mod verification;

pub use action::{Action, FileAction, ModelAction, RunAction, ScalingAction, ScalingFormat, Sheet, Show, SingleAction};
pub use app_state::{AppState, Notice, Tone};
pub use curve::{BUCKET_SECONDS, BUCKETS, RateCurve};
pub use export::{ExportFormat, read_report};
pub use model::{ModelState, note, place, progress_words, short_name, stops};
pub use panel::Panel;
pub use presets::{Preset, presets};
pub use race::{LegPhase, RaceLeg, RaceState};
pub use record::{MAX_RECENT_RUNS, RunRecord};
pub use results::{ResultColumn, ResultOrder};
pub use run::{RunPhase, RunState, RunTotals, STATES};
pub use scaling::{MOST_LOG2, ScalingPhase, ScalingSettings, ScalingState, knee};
pub use settings::{
    DEFAULT_STALL_MS, Display, MAX_TOKENS_LOG2, SESSION_RANGE, STALL_RANGE, Settings, SettingsError, SingleSettings,
    ThemeChoice, View, temperature_ladder,
};
pub use single::{AnswerPart, MemoryCard, SinglePhase, SingleState};
pub use verification::{ReplayTotals, Verification};
