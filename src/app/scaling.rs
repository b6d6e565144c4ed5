//! A sweep over numbers of sessions on its way: its rows as they come, its exports.

use super::files;
use super::window::WindowApp;
use super::work::{Wake, Work};
use crate::protocol::{Execution, ParallelConfig, ScalingRow};
use crate::session::LoadedModel;
use crate::session::scaling::scaling;
use crate::state::{ScalingAction, ScalingFormat, ScalingPhase, ScalingSettings, ScalingState, Tone};
use crate::ui;
use egui::Context;
use tokio::sync::watch;

/// How far a sweep has come.
struct Step {
    rows: Vec<ScalingRow>,
    execution: Execution,
    sessions: u32,
}

/// A sweep that is on. Dropping it stops it.
pub struct LiveScaling {
    steps: watch::Receiver<Option<Step>>,
    ended: Work<Vec<ScalingRow>>,
}

impl LiveScaling {
    /// Begins a sweep; must be called within a tokio runtime.
    pub fn start(model: &LoadedModel, config: ParallelConfig, settings: &ScalingSettings, wake: Wake) -> Self {
        let (sender, steps) = watch::channel(None);
        let (model, end_wake) = (model.clone(), wake.clone());
        let (counts, executions) = (settings.counts(), settings.executions());
        let ended = Work::start(end_wake, async move {
            let progress = |rows: &[ScalingRow], execution, sessions| {
                sender.send_replace(Some(Step { rows: rows.to_vec(), execution, sessions }));
                wake();
            };
            scaling(&model, &config, &counts, &executions, progress).await.map_err(|invalid| invalid.to_string())
        });
        Self { steps, ended }
    }
}

impl WindowApp {
    pub(super) fn apply_scaling(&mut self, context: &Context, action: ScalingAction) {
        match action {
            ScalingAction::Start => self.start_scaling(),
            ScalingAction::Stop => self.stop_scaling(),
            ScalingAction::Export(format) => self.export_scaling(context, format),
        }
    }

    fn start_scaling(&mut self) {
        if let Some(obstacle) = self.state.scaling_obstacle() {
            return self.state.notify(Tone::Problem, obstacle);
        }
        let Some(model) = &self.model else { return };
        let summary = model.summary();
        let settings = self.state.settings.scaling.clone();
        match settings.config(self.state.settings.run_config(summary.source.clone())) {
            Ok(config) => {
                self.scaling = Some(LiveScaling::start(model, config, &settings, self.wake.clone()));
                let subject = format!("{} on {}", summary.name, summary.facts.device.name());
                self.state.scaling = Some(ScalingState::start(subject, settings));
            }
            Err(invalid) => self.state.notify(Tone::Problem, invalid.to_string()),
        }
    }

    /// Stops the sweep that is on; its rows so far stay.
    pub(super) fn stop_scaling(&mut self) {
        if self.scaling.take().is_some()
            && let Some(sweep) = &mut self.state.scaling
        {
            sweep.phase = ScalingPhase::Stopped;
        }
    }

    /// Takes in how far the sweep has come.
    pub(super) fn take_scaling(&mut self) {
        let (Some(live), Some(sweep)) = (&mut self.scaling, &mut self.state.scaling) else { return };
        if live.steps.has_changed().unwrap_or(false)
            && let Some(Step { rows, execution, sessions }) = &*live.steps.borrow_and_update()
        {
            sweep.rows = rows.clone();
            sweep.phase = ScalingPhase::Running { execution: *execution, sessions: *sessions };
        }
        if let Some(outcome) = live.ended.take() {
            self.scaling = None;
            match outcome {
                Ok(rows) => {
                    sweep.rows = rows;
                    sweep.phase = ScalingPhase::Ended;
                }
                Err(message) => sweep.phase = ScalingPhase::Failed(message),
            }
        }
    }

    fn export_scaling(&mut self, context: &Context, format: ScalingFormat) {
        let Some(sweep) = self.state.scaling.clone() else { return };
        if sweep.rows.is_empty() || self.exporting.is_some() {
            return;
        }
        let theme = context.theme();
        let sessions = sweep.settings.most();
        let make = move || match format {
            ScalingFormat::Csv => Ok(sweep.csv().into_bytes()),
            ScalingFormat::Png => png(&ui::scaling_picture(&sweep, theme)),
        };
        let work = files::export_scaling(&self.world.dialogs, sessions, format, make, self.wake.clone());
        self.exporting = Some(work);
    }
}

/// A picture as a file in PNG.
fn png(picture: &ui::Picture) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&picture.rgba)?;
        writer.finish()
    });
    written.map(|()| bytes).map_err(|error| format!("The picture can't be made: {error}"))
}
