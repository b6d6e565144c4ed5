//! Paints egui's triangles without a graphics device.
//!
//! Colours are mixed as egui's own painters do: in gamma space, with opacity multiplied in. Pixels on an edge that two
//! triangles share belong to one of them (the top-left rule), so that nothing is painted twice.

use egui::epaint::{ClippedPrimitive, ImageDelta, Mesh, Primitive, Vertex};
use egui::{Color32, ColorImage, ImageData, Pos2, Rect, TextureId, TexturesDelta, Vec2, pos2};
use std::collections::HashMap;

/// An image, its rows from the top, four bytes a pixel: red, green, blue, opacity.
pub struct Picture {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// `4 * width * height` bytes.
    pub rgba: Vec<u8>,
}

/// An image that triangles are painted onto, and the textures that they use.
pub struct Raster {
    width: usize,
    height: usize,
    pixels_per_point: f32,
    pixels: Vec<Color32>,
    textures: HashMap<TextureId, ColorImage>,
}

impl Raster {
    /// An empty image of `size` points.
    pub fn new(size: Vec2, pixels_per_point: f32) -> Self {
        let (width, height) = ((size.x * pixels_per_point) as usize, (size.y * pixels_per_point) as usize);
        let pixels = vec![Color32::TRANSPARENT; width * height];
        Self { width, height, pixels_per_point, pixels, textures: HashMap::new() }
    }

    /// Takes in new and changed textures.
    pub fn update(&mut self, delta: &TexturesDelta) {
        for (id, changes) in &delta.set {
            for ImageDelta { image: ImageData::Color(image), pos, .. } in changes {
                match (pos, self.textures.get_mut(id)) {
                    (Some(place), Some(texture)) => copy_into(texture, image, *place),
                    _ => {
                        self.textures.insert(*id, (**image).clone());
                    }
                }
            }
        }
    }

    /// Paints `primitives` in order.
    pub fn paint(&mut self, primitives: &[ClippedPrimitive]) {
        for ClippedPrimitive { clip_rect, primitive } in primitives {
            if let Primitive::Mesh(mesh) = primitive {
                self.mesh(*clip_rect, mesh);
            }
        }
    }

    /// The image.
    pub fn finish(self) -> Picture {
        let rgba = self.pixels.iter().flat_map(Color32::to_srgba_unmultiplied).collect();
        Picture { width: self.width as u32, height: self.height as u32, rgba }
    }

    fn mesh(&mut self, clip: Rect, mesh: &Mesh) {
        let Some(texture) = self.textures.get(&mesh.texture_id) else { return };
        let scale = self.pixels_per_point;
        let edge = Rect::from_min_size(Pos2::ZERO, Vec2::new(self.width as f32, self.height as f32));
        let clip = Rect::from_min_max((clip.min * scale).round(), (clip.max * scale).round()).intersect(edge);
        let (width, pixels) = (self.width, &mut self.pixels);
        let scaled = |index: &u32| {
            mesh.vertices.get(*index as usize).map(|vertex| Vertex { pos: vertex.pos * scale, ..*vertex })
        };
        for corners in mesh.indices.chunks_exact(3) {
            if let (Some(a), Some(b), Some(c)) = (scaled(&corners[0]), scaled(&corners[1]), scaled(&corners[2])) {
                triangle(&[a, b, c], clip, |x, y, color, uv| {
                    let place = &mut pixels[y * width + x];
                    let source = multiplied(color, texel(texture, uv));
                    *place = over(source, *place);
                });
            }
        }
    }
}

fn copy_into(texture: &mut ColorImage, patch: &ColorImage, [left, top]: [usize; 2]) {
    let ([width, _], [patch_width, patch_height]) = (texture.size, patch.size);
    for row in 0..patch_height {
        let to = (top + row) * width + left;
        let from = row * patch_width;
        if let (Some(to), Some(from)) =
            (texture.pixels.get_mut(to..to + patch_width), patch.pixels.get(from..from + patch_width))
        {
            to.copy_from_slice(from);
        }
    }
}

/// Calls `paint` for each pixel of a triangle within `clip`, with the colour and the place in the texture there.
fn triangle(corners: &[Vertex; 3], clip: Rect, mut paint: impl FnMut(usize, usize, [f32; 4], Pos2)) {
    let [a, mut b, mut c] = *corners;
    let mut area = edge(a.pos, b.pos, c.pos);
    if area < 0.0 {
        std::mem::swap(&mut b, &mut c);
        area = -area;
    }
    if area <= f32::EPSILON {
        return;
    }
    let low = a.pos.min(b.pos).min(c.pos).max(clip.min);
    let high = a.pos.max(b.pos).max(c.pos).min(clip.max);
    let edges = [(b.pos, c.pos), (c.pos, a.pos), (a.pos, b.pos)];
    let is_plain = [b, c].iter().all(|vertex| vertex.color == a.color && vertex.uv == a.uv);
    for y in low.y.floor().max(0.0) as usize..high.y.ceil().max(0.0) as usize {
        let middle = y as f32 + 0.5;
        let (left, right) = span(&edges, middle, low.x, high.x);
        for x in left.floor().max(0.0) as usize..right.ceil().max(0.0) as usize {
            let center = pos2(x as f32 + 0.5, middle);
            let weights = edges.map(|(from, to)| edge(from, to, center));
            let is_inside = weights
                .iter()
                .zip(edges)
                .all(|(weight, (from, to))| *weight > 0.0 || (*weight == 0.0 && is_top_left(from, to)));
            if !is_inside || !clip.contains(center) {
                continue;
            }
            if is_plain {
                paint(x, y, a.color.to_array().map(f32::from), a.uv);
                continue;
            }
            let shares = weights.map(|weight| weight / area);
            let mut color = [0.0; 4];
            for (vertex, share) in [&a, &b, &c].into_iter().zip(shares) {
                for (sum, part) in color.iter_mut().zip(vertex.color.to_array()) {
                    *sum += share * f32::from(part);
                }
            }
            let uv = a.uv.to_vec2() * shares[0] + b.uv.to_vec2() * shares[1] + c.uv.to_vec2() * shares[2];
            paint(x, y, color, uv.to_pos2());
        }
    }
}

/// Where the row at height `y` may lie within a clockwise triangle, between `left` and `right`; a pixel too much.
fn span(edges: &[(Pos2, Pos2); 3], y: f32, mut left: f32, mut right: f32) -> (f32, f32) {
    for (from, to) in edges {
        let x = from.x + (y - from.y) * (to.x - from.x) / (to.y - from.y);
        // An upward edge has the triangle on its right, a downward one on its left.
        if to.y < from.y {
            left = left.max(x - 1.0);
        } else if to.y > from.y {
            right = right.min(x + 1.0);
        }
    }
    (left, right)
}

/// Twice the area of the triangle; above 0 where the corners go clockwise on the screen.
fn edge(a: Pos2, b: Pos2, c: Pos2) -> f32 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// Whether an edge of a clockwise triangle is its top or a left one.
fn is_top_left(from: Pos2, to: Pos2) -> bool {
    to.y < from.y || (to.y == from.y && to.x > from.x)
}

fn texel(texture: &ColorImage, uv: Pos2) -> Color32 {
    let [width, height] = texture.size;
    let at = |share: f32, size: usize| ((share * size as f32).max(0.0) as usize).min(size.saturating_sub(1));
    texture.pixels.get(at(uv.y, height) * width + at(uv.x, width)).copied().unwrap_or(Color32::WHITE)
}

fn multiplied(color: [f32; 4], texel: Color32) -> [f32; 4] {
    let mut product = color;
    for (part, other) in product.iter_mut().zip(texel.to_array()) {
        *part *= f32::from(other) / 255.0;
    }
    product
}

fn over(source: [f32; 4], below: Color32) -> Color32 {
    let rest = 1.0 - source[3] / 255.0;
    let mut mixed = [0_u8; 4];
    for ((mixed, source), below) in mixed.iter_mut().zip(source).zip(below.to_array()) {
        *mixed = (source + f32::from(below) * rest).round().clamp(0.0, 255.0) as u8;
    }
    let [red, green, blue, opacity] = mixed;
    Color32::from_rgba_premultiplied(red, green, blue, opacity)
}
