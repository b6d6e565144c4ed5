//! The window's few icons, painted as lines: no font has them all in one style.

use egui::{Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, pos2, vec2};

/// An icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// A filled square.
    Stop,
    /// Two sheets.
    Copy,
    /// A turning arrow.
    Again,
    /// Corners that move apart.
    Maximise,
    /// Corners that move together.
    Restore,
    /// A cross.
    Close,
    /// Points down.
    Down,
    /// Points up.
    Up,
    /// Three sliders.
    Settings,
    /// A clock.
    Recent,
    /// A lower-case i in a circle.
    Help,
}

/// Paints `icon` into the middle of `rect`, in lines of `color`.
pub fn paint(painter: &Painter, rect: Rect, icon: Icon, color: Color32) {
    // Icons are drawn on a field of 16 × 16.
    let origin = rect.center() - vec2(8.0, 8.0);
    let at = |x: f32, y: f32| origin + vec2(x, y);
    let stroke = Stroke::new(1.5, color);
    let line = |points: &[(f32, f32)]| {
        painter.add(Shape::line(points.iter().map(|(x, y)| at(*x, *y)).collect(), stroke));
    };
    let outline = |low: Pos2, high: Pos2| {
        painter.rect_stroke(Rect::from_min_max(low, high), CornerRadius::same(2), stroke, StrokeKind::Middle);
    };
    match icon {
        Icon::Stop => {
            painter.rect_filled(Rect::from_min_max(at(3.0, 3.0), at(13.0, 13.0)), CornerRadius::same(2), color);
        }
        Icon::Copy => {
            outline(at(2.5, 5.5), at(10.5, 13.5));
            line(&[(5.5, 2.5), (13.5, 2.5), (13.5, 10.5)]);
        }
        Icon::Again => {
            painter.add(Shape::line(arc(at(8.0, 8.0), 5.5, -0.3, 4.9), stroke));
            line(&[(13.6, 2.6), (13.3, 6.4), (9.6, 6.0)]);
        }
        Icon::Maximise => {
            line(&[(9.5, 2.5), (13.5, 2.5), (13.5, 6.5)]);
            line(&[(6.5, 13.5), (2.5, 13.5), (2.5, 9.5)]);
            line(&[(13.5, 2.5), (9.5, 6.5)]);
            line(&[(2.5, 13.5), (6.5, 9.5)]);
        }
        Icon::Restore => {
            line(&[(9.5, 2.5), (9.5, 6.5), (13.5, 6.5)]);
            line(&[(6.5, 13.5), (6.5, 9.5), (2.5, 9.5)]);
            line(&[(13.5, 2.5), (9.5, 6.5)]);
            line(&[(2.5, 13.5), (6.5, 9.5)]);
        }
        Icon::Close => {
            line(&[(4.0, 4.0), (12.0, 12.0)]);
            line(&[(12.0, 4.0), (4.0, 12.0)]);
        }
        Icon::Down => line(&[(4.0, 6.0), (8.0, 10.0), (12.0, 6.0)]),
        Icon::Up => line(&[(4.0, 10.0), (8.0, 6.0), (12.0, 10.0)]),
        Icon::Settings => {
            for (y, knob) in [(4.0, 10.0), (8.0, 5.0), (12.0, 11.0)] {
                line(&[(2.0, y), (14.0, y)]);
                painter.circle_filled(at(knob, y), 2.0, color);
            }
        }
        Icon::Recent => {
            painter.circle_stroke(at(8.0, 8.0), 6.0, stroke);
            line(&[(8.0, 4.5), (8.0, 8.0), (10.5, 9.5)]);
        }
        Icon::Help => {
            painter.circle_stroke(at(8.0, 8.0), 6.0, stroke);
            line(&[(8.0, 7.5), (8.0, 11.0)]);
            painter.circle_filled(at(8.0, 5.3), 1.0, color);
        }
    }
}

/// Points on a circle around `center`, from angle `from` over `span` radians, clockwise.
fn arc(center: Pos2, radius: f32, from: f32, span: f32) -> Vec<Pos2> {
    const PARTS: usize = 24;
    (0..=PARTS)
        .map(|part| {
            let angle = from + span * part as f32 / PARTS as f32;
            pos2(center.x + radius * angle.cos(), center.y + radius * angle.sin())
        })
        .collect()
}
