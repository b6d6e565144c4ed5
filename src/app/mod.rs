//! The window: eframe around `ui`. Drains what sessions tell, applies what the person asked for, keeps settings and runs.

mod apply;
mod arrivals;
mod catalog;
mod dialogs;
mod feature;
mod features;
mod files;
mod inbox;
mod jobs;
mod loading;
mod loads;
mod machine;
mod menu;
mod models;
mod pace;
mod parallel;
mod race;
mod recent;
mod scaling;
mod settings;
mod shell;
mod single;
mod storage;
mod tools;
mod tuning;
mod verify;
mod window;
mod work;
mod world;

pub use dialogs::{Answer, Ask, Dialogs, system as system_dialogs};
pub use inbox::Inbox;
pub use loads::{Loader, Loading, Progress};
pub use storage::{Storage, Stored};
pub use window::WindowApp;
pub use world::World;

use crate::platform;
use eframe::NativeOptions;
use egui::ViewportBuilder;

/// Why no window was opened.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// There is no display, or none that can be drawn on.
    #[error("no window can be opened here: {0}")]
    NoDisplay(String),
    /// The window broke.
    #[error("the window failed: {0}")]
    Failed(String),
}

/// Opens the window and returns once it is closed. Must be called on the main thread, within a tokio runtime.
pub fn run(world: World) -> Result<(), WindowError> {
    let inbox = world.inbox.clone();
    platform::receive_files(move |file| inbox.open([file]));
    // Read before there is a window: nothing that draws one ever waits for a file.
    let stored = world.storage.read_settings();
    let [width, height] = stored.settings.window_size;
    let viewport = ViewportBuilder::default()
        .with_title("LLMEval")
        .with_app_id("llmeval")
        .with_inner_size([width, height])
        .with_min_inner_size([720.0, 480.0])
        .with_drag_and_drop(true);
    // There are no gradients to dither, and where the processor draws, dithering each pixel costs the sessions time.
    let options =
        NativeOptions { viewport, renderer: platform::RENDERER, dithering: false, ..NativeOptions::default() };
    let outcome = eframe::run_native(
        "LLMEval",
        options,
        Box::new(|context| Ok(Box::new(WindowApp::new(context, world, stored)))),
    );
    outcome.map_err(|error| match error {
        eframe::Error::AppCreation(error) => WindowError::Failed(error.to_string()),
        error => WindowError::NoDisplay(innermost(&error.to_string())),
    })
}

/// The reason at the end of winit's words, which name its own source lines before it.
fn innermost(words: &str) -> String {
    let reason = words.rsplit_once(".rs:").and_then(|(_, rest)| rest.split_once(": "));
    reason.map_or(words, |(_, reason)| reason).trim_end_matches('.').to_owned()
}
