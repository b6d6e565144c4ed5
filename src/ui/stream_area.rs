//! The area in which a text streams: it stays at the text's end, unless someone scrolled away from there.

use egui::scroll_area::ScrollBarVisibility;
use egui::{ScrollArea, Ui};

/// Shows `contents` in a vertical area over the available room.
pub fn show(ui: &mut Ui, name: &str, contents: impl FnOnce(&mut Ui)) {
    let id = ui.scope_id().with((name, "height"));
    let known: f32 = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    let height = ui.scope(|ui| {
        if known <= ui.available_height() {
            hide_bar(ui);
        }
        let area = ScrollArea::vertical().id_salt(name).auto_shrink(false).min_scrolled_height(0.0);
        // A bar that comes when it is needed takes the window one frame after the other until it has faded in.
        let area = area.scroll_bar_visibility(ScrollBarVisibility::AlwaysVisible);
        let shown = area.stick_to_bottom(true).show(ui, contents);
        let end = shown.content_size.y - shown.inner_rect.height();
        if shown.content_size.y > known && end > 0.0 && shown.state.unclamped_offset().y == end {
            // The area follows its contents in the next pass only, and where drawing is slow that may come late.
            ui.ctx().request_discard("a row of text came");
        }
        shown.content_size.y
    });
    ui.data_mut(|data| data.insert_temp(id, height.inner));
}

/// Makes the area's bar invisible even under the pointer.
fn hide_bar(ui: &mut Ui) {
    let bar = &mut ui.spacing_mut().scroll;
    bar.active_handle_opacity = 0.0;
    bar.interact_handle_opacity = 0.0;
    bar.active_background_opacity = 0.0;
    bar.interact_background_opacity = 0.0;
}
