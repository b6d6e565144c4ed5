//! A sweep over numbers of sessions on its way: its rows as they come, its exports.

use super::dialogs::Ask;
use super::feature::Feature;
use super::files::save;
use super::shell::Shell;
use super::work::{Wake, Work};
use crate::protocol::{Execution, ParallelConfig, ScalingRow};
use crate::session::LoadedModel;
use crate::session::scaling::scaling;
use crate::state::{ScalingFormat, ScalingPhase, ScalingSettings, ScalingState, Tone};
use crate::ui;
use tokio::sync::watch;

/// How far a sweep has come.
struct Step {
    rows: Vec<ScalingRow>,
    execution: Execution,
    sessions: u32,
}

/// A sweep that is on. Dropping it stops it.
struct LiveScaling {
    steps: watch::Receiver<Option<Step>>,
    ended: Work<Vec<ScalingRow>>,
}

impl LiveScaling {
    /// Begins a sweep; must be called within a tokio runtime.
    fn start(model: &LoadedModel, config: ParallelConfig, settings: &ScalingSettings, wake: Wake) -> Self {
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

/// A sweep over numbers of sessions.
#[derive(Default)]
pub struct Scaling {
    live: Option<LiveScaling>,
}

impl Scaling {
    /// Starts a sweep, or says why not.
    pub fn start(&mut self, shell: &mut Shell) {
        if let Some(obstacle) = shell.state.scaling_obstacle() {
            return shell.state.notify(Tone::Problem, obstacle);
        }
        let Some(model) = shell.models.current() else { return };
        let summary = model.summary();
        let settings = shell.state.settings.scaling.clone();
        match settings.config(shell.state.settings.run_config(summary.source.clone())) {
            Ok(config) => {
                self.live = Some(LiveScaling::start(model, config, &settings, shell.wake.clone()));
                let subject = format!("{} on {}", summary.name, summary.facts.device.name());
                shell.state.scaling = Some(ScalingState::start(subject, settings));
            }
            Err(invalid) => shell.state.notify(Tone::Problem, invalid.to_string()),
        }
    }

    /// Asks where to, and saves what the sweep gave.
    pub fn export(&self, shell: &mut Shell, format: ScalingFormat) {
        let Some(sweep) = shell.state.scaling.clone().filter(|sweep| !sweep.rows.is_empty()) else { return };
        let theme = shell.context.theme();
        let name = format!("LLMEval scaling to {} sessions.{}", sweep.settings.most(), format.extension());
        let ask = Ask::SaveRun { name, kind: format.name(), extension: format.extension() };
        save(shell, ask, move || match format {
            ScalingFormat::Csv => Ok(sweep.csv().into_bytes()),
            ScalingFormat::Png => png(&ui::scaling_picture(&sweep, theme)),
        });
    }
}

impl Feature for Scaling {
    /// Takes in how far the sweep has come.
    fn take_in(&mut self, shell: &mut Shell) {
        let (Some(live), Some(sweep)) = (&mut self.live, &mut shell.state.scaling) else { return };
        if live.steps.has_changed().unwrap_or(false)
            && let Some(Step { rows, execution, sessions }) = &*live.steps.borrow_and_update()
        {
            sweep.rows = rows.clone();
            sweep.phase = ScalingPhase::Running { execution: *execution, sessions: *sessions };
        }
        if let Some(outcome) = live.ended.take() {
            self.live = None;
            match outcome {
                Ok(rows) => {
                    sweep.rows = rows;
                    sweep.phase = ScalingPhase::Ended;
                }
                Err(message) => sweep.phase = ScalingPhase::Failed(message),
            }
        }
    }

    /// Stops the sweep that is on; its rows so far stay.
    fn stop(&mut self, shell: &mut Shell) {
        if self.live.take().is_some()
            && let Some(sweep) = &mut shell.state.scaling
        {
            sweep.phase = ScalingPhase::Stopped;
        }
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
