//! What every feature of the window gets in its hands. Knows none of them.

use super::jobs::Jobs;
use super::models::Models;
use super::pace::Pace;
use super::storage::Stored;
use super::work::Wake;
use super::world::World;
use crate::state::{Action, AppState, Tone, presets};
use std::collections::VecDeque;
use std::sync::Arc;

/// What every feature of the window gets in its hands.
pub struct Shell {
    /// What is shown.
    pub state: AppState,
    /// The models that are loaded.
    pub models: Models,
    /// Work in the background, and what follows it.
    pub jobs: Jobs<Self>,
    /// Loader, dialogs, storage, inbox.
    pub world: World,
    /// How often the window is drawn while sessions run.
    pub pace: Pace,
    /// Draws the window at once.
    pub wake: Wake,
    /// egui's own.
    pub context: egui::Context,
    asked: VecDeque<Action>,
}

impl Shell {
    /// Begins with the settings that were `stored`. Must be called within a tokio runtime.
    pub fn new(context: egui::Context, world: World, stored: Stored, is_drawn_by_software: bool) -> Self {
        let Stored { settings, notice } = stored;
        let mut state = AppState { settings, presets: presets().unwrap_or_default(), ..AppState::default() };
        if let Some(notice) = notice {
            state.notify(Tone::Problem, notice);
        }
        let waking = context.clone();
        let wake: Wake = Arc::new(move || waking.request_repaint());
        Self {
            state,
            models: Models::default(),
            jobs: Jobs::new(wake.clone()),
            world,
            pace: Pace::new(context.clone(), is_drawn_by_software),
            wake,
            context,
            asked: VecDeque::new(),
        }
    }

    /// Asks for what a person could have asked for: how a feature has another one do something.
    pub fn ask(&mut self, action: Action) {
        self.asked.push_back(action);
    }

    /// What was asked for first, of what has not been done yet.
    pub fn take_asked(&mut self) -> Option<Action> {
        self.asked.pop_front()
    }
}
