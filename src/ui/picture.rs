//! Charts as pictures: drawn by egui into a window that nobody sees, so that a file does not depend on the screen.

use super::chart;
use super::raster::{Picture, Raster};
use super::theme::{self, DOUBLE, Palette, STEP};
use crate::state::ScalingState;
use egui::{CentralPanel, Context, Frame, Pos2, RawInput, Rect, Theme, Ui, Vec2, ViewportId, vec2};

/// The picture of a sweep, in points.
const SCALING_SIZE: Vec2 = vec2(1200.0, 480.0);
/// Pixels for each point: enough for print.
const PIXELS_PER_POINT: f32 = 2.0;
/// Frames until layout has settled: the axes measure their labels while they are drawn.
const FRAMES: usize = 3;

/// The charts of `sweep` under a title.
pub fn scaling_picture(sweep: &ScalingState, theme: Theme) -> Picture {
    draw(SCALING_SIZE, theme, |ui| {
        ui.horizontal(|ui| {
            ui.heading(&sweep.subject);
            let words = format!("up to {} tokens a session", sweep.settings.max_tokens);
            ui.label(theme::caption(ui, words));
        });
        chart::show(ui, sweep, ui.available_height() - STEP);
    })
}

/// What `contents` draws into a window of `size`.
fn draw(size: Vec2, theme: Theme, mut contents: impl FnMut(&mut Ui)) -> Picture {
    let context = Context::default();
    theme::install(&context);
    context.set_theme(theme);
    // Discs come as triangles, not as pictures of discs.
    context.tessellation_options_mut(|options| options.prerasterized_discs = false);
    let mut raster = Raster::new(size, PIXELS_PER_POINT);
    let mut shapes = Vec::new();
    for _ in 0..FRAMES {
        let mut input = RawInput { screen_rect: Some(Rect::from_min_size(Pos2::ZERO, size)), ..RawInput::default() };
        input.viewports.entry(ViewportId::ROOT).or_default().native_pixels_per_point = Some(PIXELS_PER_POINT);
        let mut output = context.run_ui(input, |ui| {
            let frame = Frame::new().fill(Palette::of(ui).window).inner_margin(DOUBLE);
            CentralPanel::no_frame().frame(frame).show(ui, |ui| contents(ui));
        });
        raster.update(&output.textures_delta);
        output.textures_delta.clear();
        shapes = output.shapes;
    }
    raster.paint(&context.tessellate(shapes, PIXELS_PER_POINT));
    raster.finish()
}
