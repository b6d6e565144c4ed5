//! Both clocks of a race, above the panels of the run that is on.

use super::scene::Scene;
use super::theme::{self, HALF, Palette, STEP};
use super::widgets;
use crate::protocol::{NOTHING, or_nothing, ratio};
use crate::state::{LegPhase, RaceLeg, RaceState};
use egui::{Label, RichText, Ui, vec2};

/// Width of the figure that says how much faster the second leg was.
const SPEED_UP_WIDTH: f32 = 104.0;

/// Draws the race, if one is on or ended last.
pub fn show(ui: &mut Ui, scene: &Scene<'_>) {
    let Some(race) = &scene.state.race else { return };
    theme::card(ui).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing = vec2(2.0 * STEP, HALF);
        let width = (ui.available_width() - SPEED_UP_WIDTH - 4.0 * STEP) / 2.0;
        ui.horizontal_top(|ui| {
            for leg in &race.legs {
                ui.vertical(|ui| {
                    ui.set_width(width);
                    clock(ui, leg, race.limit);
                });
            }
            let speed_up = or_nothing(race.speed_up(), ratio);
            let unit = if race.speed_up().is_some() { "as fast" } else { "" };
            widgets::figure(ui, "Batched is", &speed_up, unit, SPEED_UP_WIDTH)
                .on_hover_text("Batched tokens per second over serialized ones");
        });
        broken(ui, race);
    });
}

/// A leg's clock over how much of its tokens it has given.
fn clock(ui: &mut Ui, leg: &RaceLeg, limit: u64) {
    let palette = Palette::of(ui);
    let name = match leg.execution.name().split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => String::new(),
    };
    let value = match leg.phase {
        LegPhase::Waiting => NOTHING.to_owned(),
        _ => format!("{:.1}", leg.elapsed_s),
    };
    let unit = if leg.phase == LegPhase::Waiting { "" } else { "s" };
    widgets::figure(ui, &name, &value, unit, ui.available_width());
    let (share, color) = match leg.phase {
        LegPhase::Finished => (1.0, palette.good),
        LegPhase::Broken => (leg.tokens as f32 / limit.max(1) as f32, palette.bad),
        LegPhase::Waiting | LegPhase::Running => (leg.tokens as f32 / limit.max(1) as f32, palette.accent),
    };
    widgets::progress(ui, share, color, &format!("Progress of the {} run", leg.execution));
}

fn broken(ui: &mut Ui, race: &RaceState) {
    if let Some(reason) = &race.broken {
        let words = RichText::new(format!("{reason}. The race has no result.")).small().color(Palette::of(ui).bad);
        ui.add(Label::new(words).wrap().selectable(true));
    }
}
