//! The controls that the window uses again and again; each has a name for the screen reader.

use super::icons::{self, Icon};
use super::theme::{self, CONTROL_HEIGHT, DOUBLE, HALF, Palette, STEP};
use egui::accesskit::Role;
use egui::{
    Align, Button, Color32, CornerRadius, DragValue, Key, Layout, Modifiers, Rect, Response, RichText, Sense, Slider,
    Stroke, TextStyle, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use std::ops::RangeInclusive;

/// The one button that stands out.
pub fn primary_button(ui: &mut Ui, text: &str, is_enabled: bool, size: Vec2) -> Response {
    let palette = Palette::of(ui);
    let label = RichText::new(text).font(theme::semibold(theme::BODY_SIZE)).color(palette.on_accent);
    ui.add_enabled(is_enabled, Button::new(label).fill(palette.accent).min_size(size))
}

/// The button in the place of the one that stands out while something runs.
pub fn stop_button(ui: &mut Ui, text: &str, is_enabled: bool, size: Vec2) -> Response {
    let palette = Palette::of(ui);
    let label = RichText::new(text).font(theme::semibold(theme::BODY_SIZE)).color(palette.bad);
    let button = Button::new(label).fill(palette.bad_faint).stroke(Stroke::new(1.0, palette.bad)).min_size(size);
    ui.add_enabled(is_enabled, button)
}

/// A button that is an icon; `name` is its tooltip and its name for the screen reader.
pub fn icon_button(ui: &mut Ui, icon: Icon, name: &str, is_enabled: bool) -> Response {
    let side = theme::ICON_SIZE + STEP;
    ui.add_enabled_ui(is_enabled, |ui| {
        let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
        let palette = Palette::of(ui);
        let is_lit = response.hovered() || response.has_focus();
        if is_lit {
            ui.painter().rect_filled(rect, CornerRadius::same(4), palette.control_hovered);
        }
        let color = if is_lit { palette.text } else { palette.weak };
        icons::paint(ui.painter(), rect, icon, color);
        focus_ring(ui, &response, rect);
        response.on_hover_text(name)
    })
    .inner
}

/// A switch with its label on the left.
pub fn switch(ui: &mut Ui, is_on: &mut bool, label: &str, help: &str) -> Response {
    ui.horizontal(|ui| {
        let text = ui.label(label);
        let size = vec2(CONTROL_HEIGHT + HALF, 18.0);
        let right = Layout::right_to_left(Align::Center);
        let (rect, mut response) = ui.with_layout(right, |ui| ui.allocate_exact_size(size, Sense::click())).inner;
        // The label can be clicked too, but the keyboard stops at the switch only.
        let clicks = Sense::click() - Sense::FOCUSABLE;
        if response.clicked() || text.interact(clicks).clicked() {
            *is_on = !*is_on;
            response.mark_changed();
        }
        response.widget_info(|| WidgetInfo::selected(Role::Switch, ui.is_enabled(), *is_on, label));
        let palette = Palette::of(ui);
        let share = ui.ctx().animate_bool_responsive(response.id, *is_on);
        let track = if *is_on { palette.accent } else { palette.control_hovered };
        let radius = rect.height() / 2.0;
        ui.painter().rect_filled(rect, CornerRadius::same(radius as u8), track);
        let x = egui::lerp(rect.left() + radius..=rect.right() - radius, share);
        ui.painter().circle_filled(pos2(x, rect.center().y), radius - 3.0, palette.on_accent);
        focus_ring(ui, &response, rect.expand(2.0));
        response.on_hover_text(help)
    })
    .inner
}

/// One choice of a few, side by side. `name` says what is chosen.
pub fn segmented<T: PartialEq + Copy>(ui: &mut Ui, name: &str, chosen: &mut T, choices: &[(T, &str)]) {
    let palette = Palette::of(ui);
    egui::Frame::new().fill(palette.sunken).corner_radius(CornerRadius::same(6)).inner_margin(2.0).show(ui, |ui| {
        // The frame's margin takes the rest of a control's height.
        let height = CONTROL_HEIGHT - HALF;
        ui.spacing_mut().interact_size.y = height;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            ui.spacing_mut().button_padding.y = 0.0;
            for (value, label) in choices {
                let is_chosen = *chosen == *value;
                let color = if is_chosen { palette.text } else { palette.weak };
                let fill = if is_chosen { palette.surface } else { Color32::TRANSPARENT };
                let line = if is_chosen { palette.line } else { Color32::TRANSPARENT };
                let button = Button::new(RichText::new(*label).color(color))
                    .fill(fill)
                    .stroke(Stroke::new(1.0, line))
                    .min_size(vec2(0.0, height));
                let response = ui.add(button);
                response.widget_info(|| WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), is_chosen, *label));
                focus_ring(ui, &response, response.rect);
                if response.on_hover_text(format!("{name}: {label}")).clicked() {
                    *chosen = *value;
                }
            }
        });
    });
}

/// A number's slider: its name and its value above, the rail below over the whole width.
pub fn slider<N: egui::emath::Numeric>(
    ui: &mut Ui,
    name: &str,
    value: &mut N,
    range: RangeInclusive<N>,
    adjust: impl FnOnce(Slider<'_>) -> Slider<'_>,
    show: impl Fn(f64) -> String,
) {
    let shown = show(value.to_f64());
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.spacing_mut().interact_size.y = 20.0;
        ui.horizontal(|ui| {
            ui.label(name);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(shown).font(theme::semibold(theme::BODY_SIZE)));
            });
        });
        ui.spacing_mut().slider_width = ui.available_width();
        let palette = Palette::of(ui);
        let visuals = ui.visuals_mut();
        visuals.selection.bg_fill = palette.accent;
        visuals.widgets.inactive.bg_fill = palette.control_hovered;
        visuals.widgets.inactive.fg_stroke = Stroke::new(1.5, palette.weak);
        ui.name_inputs(name, |ui| ui.add(adjust(Slider::new(value, range).show_value(false))));
    });
}

/// A number to drag or type, with its name on the left.
pub fn number(ui: &mut Ui, name: &str, help: &str, drag: DragValue<'_>) {
    ui.horizontal(|ui| {
        ui.label(name).on_hover_text(help);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().interact_size.x = theme::NUMBER_WIDTH;
            ui.add(drag).on_hover_text(help).accessible_name(name);
        });
    });
}

/// A word in a tinted pill.
pub fn badge(ui: &mut Ui, text: &str, color: Color32, fill: Color32) -> Response {
    let galley = ui.fonts_mut(|fonts| fonts.layout_no_wrap(text.to_owned(), theme::semibold(11.0), color));
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(12.0, HALF), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    ui.painter().rect_filled(rect, CornerRadius::same(8), fill);
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, color);
    response
}

/// A few small words in a row of such.
pub struct Words {
    /// What stands there.
    pub text: String,
    /// Its colour.
    pub color: Color32,
    /// What it means, where that isn't plain.
    pub help: Option<String>,
}

/// Words beside each other; those that have no room stand in the tooltip of a sign for them.
pub fn words_in_room(ui: &mut Ui, words: &[Words]) {
    const GAP: f32 = 12.0;
    ui.spacing_mut().item_spacing.x = GAP;
    let font = TextStyle::Small.resolve(ui.style());
    for (place, Words { text, color, help }) in words.iter().enumerate() {
        let galley = ui.fonts_mut(|fonts| fonts.layout_no_wrap(text.clone(), font.clone(), *color));
        let is_last = place + 1 == words.len();
        let needed = galley.size().x + if is_last { 0.0 } else { GAP + DOUBLE };
        if needed > ui.available_width() {
            let rest: Vec<&str> = words[place..].iter().map(|words| words.text.as_str()).collect();
            ui.label(theme::caption(ui, "…")).on_hover_text(rest.join("\n"));
            return;
        }
        let label = ui.label(RichText::new(text).small().color(*color));
        if let Some(help) = help {
            label.on_hover_text(help);
        }
    }
}

/// Height of a figure with its name above.
pub const FIGURE_HEIGHT: f32 = 44.0;

/// Up to this width a figure is smaller.
const NARROW_FIGURE: f32 = 88.0;

/// The size of a figure that has `width`.
pub fn figure_size(width: f32) -> f32 {
    if width <= NARROW_FIGURE { theme::NARROW_FIGURE_SIZE } else { theme::FIGURE_SIZE }
}

/// A figure with its name above; the width stays the same whatever the figure is.
pub fn figure(ui: &mut Ui, name: &str, value: &str, unit: &str, width: f32) -> Response {
    figure_sized(ui, name, value, unit, width, figure_size(width))
}

/// [`figure`], in letters of `size`.
pub fn figure_sized(ui: &mut Ui, name: &str, value: &str, unit: &str, width: f32, size: f32) -> Response {
    let response = ui
        .allocate_ui_with_layout(vec2(width, FIGURE_HEIGHT), Layout::top_down(Align::Min), |ui| {
            ui.set_min_size(vec2(width, FIGURE_HEIGHT));
            ui.spacing_mut().item_spacing.y = 0.0;
            let caption = theme::caption(ui, name);
            ui.add(egui::Label::new(caption).truncate());
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = HALF;
                ui.label(RichText::new(value).font(theme::semibold(size)));
                if !unit.is_empty() {
                    ui.add(egui::Label::new(theme::caption(ui, unit)).truncate());
                }
            });
        })
        .response;
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {value} {unit}").trim_end()));
    response
}

/// The least width of a curve's slot: narrower ones make a comb of it.
const SLOT: f32 = 3.0;

/// A small curve of rates over time, filled below: as many of the last ones as have room. One that does not fill it yet
/// stands at its `side`.
pub fn curve(
    ui: &Ui,
    rect: Rect,
    rates: impl ExactSizeIterator<Item = f32> + Clone,
    slots: usize,
    side: Align,
    color: Color32,
) {
    let slots = slots.min((rect.width() / SLOT) as usize + 1);
    let older = rates.len().saturating_sub(slots);
    let rates = rates.skip(older);
    let top = rates.clone().fold(1.0_f32, f32::max);
    let count = rates.len();
    if count < 2 || slots < 2 {
        return;
    }
    let step = rect.width() / (slots - 1) as f32;
    let spare = rect.width() - step * (count - 1) as f32;
    let start = rect.left() + spare * side.to_factor();
    let points: Vec<_> = rates
        .enumerate()
        .map(|(place, rate)| pos2(start + step * place as f32, rect.bottom() - rect.height() * rate / top))
        .collect();
    let mut mesh = egui::Mesh::default();
    let fill = color.gamma_multiply(0.15);
    for (place, point) in points.iter().enumerate() {
        mesh.colored_vertex(*point, fill);
        mesh.colored_vertex(pos2(point.x, rect.bottom()), fill);
        if place > 0 {
            let base = (place as u32) * 2;
            mesh.add_triangle(base - 2, base - 1, base);
            mesh.add_triangle(base - 1, base, base + 1);
        }
    }
    ui.painter().add(mesh);
    ui.painter().add(egui::Shape::line(points, Stroke::new(1.5, color)));
}

/// A thin bar that fills from the left.
pub fn progress(ui: &mut Ui, share: f32, color: Color32, name: &str) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HALF), Sense::hover());
    response.widget_info(|| {
        let mut info = WidgetInfo::new(Role::ProgressIndicator);
        info.label = Some(name.to_owned());
        info.value = Some(f64::from(share));
        info
    });
    let palette = Palette::of(ui);
    ui.painter().rect_filled(rect, CornerRadius::same(2), palette.control);
    let filled = Rect::from_min_size(rect.min, vec2(rect.width() * share.clamp(0.0, 1.0), rect.height()));
    ui.painter().rect_filled(filled, CornerRadius::same(2), color);
}

/// A turning arc. It moves as often as the window is drawn, and never asks for that itself.
pub fn spinner(ui: &mut Ui, size: f32) {
    const PARTS: usize = 16;
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(size), Sense::hover());
    let begin = (ui.input(|input| input.time) * std::f64::consts::TAU).rem_euclid(std::f64::consts::TAU) as f32;
    let radius = size / 2.0 - 1.0;
    let point = |part: usize| {
        let angle = begin + 4.2 * part as f32 / PARTS as f32;
        rect.center() + radius * vec2(angle.cos(), angle.sin())
    };
    let stroke = Stroke::new(2.0, Palette::of(ui).accent_text);
    ui.painter().add(egui::Shape::line((0..=PARTS).map(point).collect(), stroke));
}

/// What a table's columns of these least widths can have on top of them, to fill the row.
pub fn column_spare(ui: &Ui, least: &[f32]) -> f32 {
    let count = least.len() as f32;
    let gaps = ui.spacing().item_spacing.x * (count - 1.0);
    ((ui.available_width() - gaps - least.iter().sum::<f32>()) / count).max(0.0)
}

/// A cell of a table; figures stand one below the other by their last digit.
pub fn cell(ui: &mut Ui, is_figure: bool, contents: impl FnOnce(&mut Ui)) {
    let layout = if is_figure { Layout::right_to_left } else { Layout::left_to_right };
    ui.with_layout(layout(Align::Center), |ui| {
        // The stripe behind a row begins and ends here.
        ui.add_space(HALF);
        ui.spacing_mut().item_spacing.x = 0.0;
        contents(ui);
    });
}

/// Lets Page Up, Page Down, Home and End move the scroll area around `ui`, unless a text is being edited. For the one
/// area that stands for the whole view; to be called after its contents, whose own areas would take the move.
pub fn scroll_by_keyboard(ui: &Ui) {
    if ui.ctx().text_edit_focused() {
        return;
    }
    let page = ui.clip_rect().height() - DOUBLE;
    let all = f32::from(u16::MAX);
    let moves = [(Key::PageUp, page), (Key::PageDown, -page), (Key::Home, all), (Key::End, -all)];
    for (key, distance) in moves {
        if ui.input_mut(|input| input.consume_key(Modifiers::NONE, key)) {
            ui.scroll_with_delta(vec2(0.0, distance));
        }
    }
}

/// A section's heading in the column of controls.
pub fn section(ui: &mut Ui, text: &str) {
    ui.add_space(HALF);
    ui.label(theme::caption(ui, text).text_style(TextStyle::Small).font(theme::semibold(12.0)));
}

/// Shows which control the keyboard is on.
pub fn focus_ring(ui: &Ui, response: &Response, rect: Rect) {
    if response.has_focus() {
        let stroke = Stroke::new(1.5, Palette::of(ui).accent_text);
        ui.painter().rect_stroke(rect, CornerRadius::same(6), stroke, egui::StrokeKind::Outside);
    }
}

/// The beginning of a long text, for hovers and summaries.
pub fn clipped(text: &str) -> String {
    const CHARACTERS: usize = 600;
    let mut beginning: String = text.chars().take(CHARACTERS).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}
