//! Every colour, size and font of the window. Distances are multiples of 8 points, or of 4 within a control.

use crate::protocol::SessionState;
use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Theme,
    vec2,
};
use std::sync::Arc;

/// The small step of the grid, within a control.
pub const HALF: f32 = 4.0;
/// The step of the grid.
pub const STEP: f32 = 8.0;
/// Twice the step: margins of cards and bars.
pub const DOUBLE: f32 = 16.0;
/// Height of buttons, switches and single-line fields.
pub const CONTROL_HEIGHT: f32 = 28.0;
/// Height of the bar at the top.
pub const TOP_BAR_HEIGHT: f32 = 56.0;
/// Width of the column of controls.
pub const SIDE_WIDTH: f32 = 256.0;
/// The least width of a session's panel.
pub const PANEL_MIN_WIDTH: f32 = 232.0;
/// The least height of a session's panel where all of them fit.
pub const PANEL_MIN_HEIGHT: f32 = 184.0;
/// The height of a session's panel where they have to be scrolled.
pub const PANEL_SCROLLED_HEIGHT: f32 = 208.0;
/// Width of the sheets over the window.
pub const SHEET_WIDTH: f32 = 560.0;
/// Width of fields that hold a number.
pub const NUMBER_WIDTH: f32 = 72.0;
/// The widest that text is set: longer lines are hard to follow.
pub const READING_WIDTH: f32 = 840.0;
/// Side of the painted icons.
pub const ICON_SIZE: f32 = 16.0;

const CORNER: CornerRadius = CornerRadius::same(6);
const CARD_CORNER: CornerRadius = CornerRadius::same(8);

/// Body text.
pub const BODY_SIZE: f32 = 14.0;
/// Captions.
pub const SMALL_SIZE: f32 = 12.0;
/// Headings.
pub const HEADING_SIZE: f32 = 18.0;
/// Large figures.
pub const FIGURE_SIZE: f32 = 20.0;
/// Large figures where there is little room.
pub const NARROW_FIGURE_SIZE: f32 = 16.0;
const MONOSPACE_SIZE: f32 = 13.0;

const REGULAR: &[u8] = include_bytes!("../../assets/fonts/IBMPlexSans-Regular.ttf");
const SEMIBOLD: &[u8] = include_bytes!("../../assets/fonts/IBMPlexSans-SemiBold.ttf");
const SEMIBOLD_NAME: &str = "IBM Plex Sans SemiBold";
const REGULAR_NAME: &str = "IBM Plex Sans";

/// The colours of one theme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    /// Behind everything.
    pub window: Color32,
    /// Bars and cards.
    pub surface: Color32,
    /// Fields, tracks, and cards within cards.
    pub sunken: Color32,
    /// Buttons at rest.
    pub control: Color32,
    /// Buttons under the pointer.
    pub control_hovered: Color32,
    /// Lines between and around.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Text among which some stands out.
    pub prose: Color32,
    /// Text that stands out.
    pub strong: Color32,
    /// Text that matters less.
    pub weak: Color32,
    /// Fill of what is to be pressed or is going on.
    pub accent: Color32,
    /// Text in the accent colour.
    pub accent_text: Color32,
    /// Text on the accent colour.
    pub on_accent: Color32,
    /// The accent colour behind text.
    pub accent_faint: Color32,
    /// Went well.
    pub good: Color32,
    /// Is on its way, or deserves a look.
    pub warn: Color32,
    /// Fill of a prompt's reading.
    pub prefill: Color32,
    /// Went wrong.
    pub bad: Color32,
    /// Behind a notice of something gone wrong.
    pub bad_faint: Color32,
}

const LIGHT: Palette = Palette {
    window: Color32::from_rgb(0xF3, 0xF4, 0xF6),
    surface: Color32::from_rgb(0xFF, 0xFF, 0xFF),
    sunken: Color32::from_rgb(0xF3, 0xF4, 0xF6),
    control: Color32::from_rgb(0xEA, 0xEC, 0xEF),
    control_hovered: Color32::from_rgb(0xDF, 0xE2, 0xE7),
    line: Color32::from_rgb(0xDC, 0xDF, 0xE4),
    text: Color32::from_rgb(0x1D, 0x21, 0x29),
    prose: Color32::from_rgb(0x3F, 0x46, 0x52),
    strong: Color32::BLACK,
    weak: Color32::from_rgb(0x5E, 0x66, 0x73),
    accent: Color32::from_rgb(0x3F, 0x5B, 0xD9),
    accent_text: Color32::from_rgb(0x34, 0x4E, 0xC4),
    on_accent: Color32::WHITE,
    accent_faint: Color32::from_rgb(0xE3, 0xE8, 0xFB),
    good: Color32::from_rgb(0x1F, 0x7A, 0x4D),
    warn: Color32::from_rgb(0x9A, 0x64, 0x0A),
    prefill: Color32::from_rgb(0xE3, 0xA6, 0x3A),
    bad: Color32::from_rgb(0xB9, 0x2C, 0x2C),
    bad_faint: Color32::from_rgb(0xFB, 0xE9, 0xE7),
};

const DARK: Palette = Palette {
    window: Color32::from_rgb(0x12, 0x14, 0x18),
    surface: Color32::from_rgb(0x1B, 0x1E, 0x24),
    sunken: Color32::from_rgb(0x13, 0x15, 0x1A),
    control: Color32::from_rgb(0x2A, 0x2E, 0x37),
    control_hovered: Color32::from_rgb(0x36, 0x3B, 0x46),
    line: Color32::from_rgb(0x2C, 0x31, 0x3A),
    text: Color32::from_rgb(0xE4, 0xE7, 0xEC),
    prose: Color32::from_rgb(0xC0, 0xC6, 0xD0),
    strong: Color32::WHITE,
    weak: Color32::from_rgb(0x98, 0xA0, 0xAD),
    accent: Color32::from_rgb(0x4C, 0x68, 0xE6),
    accent_text: Color32::from_rgb(0x93, 0xA6, 0xFF),
    on_accent: Color32::WHITE,
    accent_faint: Color32::from_rgb(0x24, 0x2C, 0x4B),
    good: Color32::from_rgb(0x62, 0xC4, 0x92),
    warn: Color32::from_rgb(0xE0, 0xB0, 0x55),
    prefill: Color32::from_rgb(0xE0, 0xB0, 0x55),
    bad: Color32::from_rgb(0xF0, 0x82, 0x7C),
    bad_faint: Color32::from_rgb(0x3A, 0x20, 0x22),
};

impl Palette {
    /// The colours that `ui` is drawn with.
    pub fn of(ui: &egui::Ui) -> &'static Self {
        if ui.visuals().dark_mode { &DARK } else { &LIGHT }
    }

    /// The colour of a session's state.
    pub fn state(&self, state: SessionState) -> Color32 {
        match state {
            SessionState::Queued | SessionState::Stopped => self.weak,
            SessionState::Prefill => self.warn,
            SessionState::Decoding => self.accent_text,
            SessionState::Done => self.good,
            SessionState::Failed => self.bad,
        }
    }
}

/// The semi-bold face at `size`.
pub fn semibold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(SEMIBOLD_NAME.into()))
}

/// A heading within a card or sheet.
pub fn title(text: impl Into<String>) -> egui::RichText {
    egui::RichText::new(text).font(semibold(BODY_SIZE))
}

/// Small text that matters less.
pub fn caption(ui: &egui::Ui, text: impl Into<String>) -> egui::RichText {
    egui::RichText::new(text).text_style(TextStyle::Small).color(Palette::of(ui).weak)
}

/// Around the text of an editor of several lines.
pub const EDITOR_MARGIN: Margin = Margin::symmetric(12, 8);

/// The frame of a card.
pub fn card(ui: &egui::Ui) -> egui::Frame {
    let palette = Palette::of(ui);
    egui::Frame::new()
        .fill(palette.surface)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(CARD_CORNER)
        .inner_margin(Margin::same(STEP as i8))
}

/// The frame of a bar along a side of the window.
pub fn bar(ui: &egui::Ui) -> egui::Frame {
    egui::Frame::new().fill(Palette::of(ui).surface).inner_margin(Margin::symmetric(DOUBLE as i8, STEP as i8))
}

/// The frame behind the window's middle.
pub fn middle(ui: &egui::Ui) -> egui::Frame {
    egui::Frame::new().fill(Palette::of(ui).window).inner_margin(Margin::same(DOUBLE as i8))
}

/// Sets fonts and both themes' styles. Characters that the fonts lack come from the system's own.
pub fn install(context: &egui::Context) {
    context.set_fonts(fonts());
    context.set_style_of(Theme::Light, style(Theme::Light));
    context.set_style_of(Theme::Dark, style(Theme::Dark));
}

/// Takes movements away that draw frame after frame for their own sake, for where each frame costs much.
pub fn stand_still(context: &egui::Context) {
    context.all_styles_mut(|style| {
        style.animation_time = 0.0;
        style.scroll_animation = egui::style::ScrollAnimation::none();
    });
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    fonts.font_data.insert(REGULAR_NAME.into(), Arc::new(FontData::from_static(REGULAR)));
    fonts.font_data.insert(SEMIBOLD_NAME.into(), Arc::new(FontData::from_static(SEMIBOLD)));
    let fallbacks = fonts.families.entry(FontFamily::Proportional).or_default();
    fallbacks.insert(0, REGULAR_NAME.into());
    let semibold = std::iter::once(SEMIBOLD_NAME.to_owned()).chain(fallbacks.iter().cloned()).collect();
    fonts.families.insert(FontFamily::Name(SEMIBOLD_NAME.into()), semibold);
    fonts
}

fn style(theme: Theme) -> egui::Style {
    let mut style = egui::Style { visuals: visuals(theme), animation_time: 0.1, ..egui::Style::default() };
    style.text_styles = [
        (TextStyle::Small, FontId::new(SMALL_SIZE, FontFamily::Proportional)),
        (TextStyle::Body, FontId::new(BODY_SIZE, FontFamily::Proportional)),
        (TextStyle::Button, FontId::new(BODY_SIZE, FontFamily::Proportional)),
        (TextStyle::Heading, semibold(HEADING_SIZE)),
        (TextStyle::Monospace, FontId::new(MONOSPACE_SIZE, FontFamily::Monospace)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(STEP, STEP);
    spacing.button_padding = vec2(12.0, HALF);
    spacing.interact_size = vec2(40.0, CONTROL_HEIGHT);
    spacing.slider_rail_height = HALF;
    spacing.icon_width = ICON_SIZE;
    spacing.icon_width_inner = STEP;
    spacing.menu_margin = Margin::same(STEP as i8);
    spacing.window_margin = Margin::same(DOUBLE as i8);
    spacing.tooltip_width = 320.0;
    style.interaction.selectable_labels = false;
    style
}

fn visuals(theme: Theme) -> egui::Visuals {
    let (mut visuals, palette) = match theme {
        Theme::Light => (egui::Visuals::light(), LIGHT),
        Theme::Dark => (egui::Visuals::dark(), DARK),
    };
    visuals.panel_fill = palette.surface;
    visuals.window_fill = palette.surface;
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    visuals.window_corner_radius = CornerRadius::same(12);
    visuals.menu_corner_radius = CARD_CORNER;
    let shadow = Shadow { offset: [0, 8], blur: 24, spread: 0, color: Color32::from_black_alpha(48) };
    visuals.window_shadow = shadow;
    visuals.popup_shadow = shadow;
    visuals.extreme_bg_color = palette.sunken;
    visuals.faint_bg_color = palette.sunken;
    visuals.code_bg_color = palette.sunken;
    visuals.hyperlink_color = palette.accent_text;
    visuals.warn_fg_color = palette.warn;
    visuals.error_fg_color = palette.bad;
    visuals.weak_text_color = Some(palette.weak);
    visuals.selection.bg_fill = palette.accent_faint;
    visuals.selection.stroke = Stroke::new(1.0, palette.accent_text);
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals.disabled_alpha = 0.5;
    // A blinking cursor would repaint an idle window twice a second.
    visuals.text_cursor.blink = false;
    visuals.text_cursor.stroke = Stroke::new(2.0, palette.accent_text);

    let widgets = &mut visuals.widgets;
    for (widget, fill, line) in [
        (&mut widgets.noninteractive, palette.surface, palette.line),
        (&mut widgets.inactive, palette.control, Color32::TRANSPARENT),
        (&mut widgets.hovered, palette.control_hovered, palette.line),
        (&mut widgets.active, palette.control_hovered, palette.accent_text),
        (&mut widgets.open, palette.control_hovered, palette.line),
    ] {
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.bg_stroke = Stroke::new(1.0, line);
        widget.fg_stroke = Stroke::new(1.0, palette.text);
        widget.corner_radius = CORNER;
        widget.expansion = 0.0;
    }
    visuals
}
