//! The pictures: what is drawn for each family of genres.

mod city;
mod land;
mod pattern;
mod sky;

use std::fmt::{Display, Write};

use super::dice::Dice;
use super::genre::Family;
use super::palette::Palette;

/// Draws the family's picture between the top of the cover and `floor`.
pub(super) fn draw(
    svg: &mut String,
    family: Family,
    floor: f32,
    palette: &Palette,
    dice: &mut Dice,
) {
    let Palette {
        ground, mid, light, ..
    } = palette.hex();
    let canvas = &mut Canvas {
        svg,
        floor,
        palette,
        dice,
        ground,
        mid,
        light,
    };
    match family {
        Family::Space => sky::space(canvas),
        Family::Fantasy => sky::portal(canvas),
        Family::Romance => sky::romance(canvas),
        Family::Silent => sky::iris(canvas),
        Family::Western => land::mesa(canvas),
        Family::Animated => land::hills(canvas),
        Family::Adventure => land::peaks(canvas),
        Family::Historical => city::columns(canvas),
        Family::Crime => city::night(canvas),
        Family::Mystery => city::keyhole(canvas),
        Family::Thriller => city::corridor(canvas),
        Family::Horror => pattern::teeth(canvas),
        Family::Musical => pattern::sound(canvas),
        Family::War => pattern::war(canvas),
        Family::Action => pattern::burst(canvas),
        Family::Documentary => pattern::frames(canvas),
        Family::Comedy => pattern::confetti(canvas),
        Family::Drama => pattern::ripples(canvas),
    }
}

/// What a picture is drawn on and with.
struct Canvas<'a> {
    svg: &'a mut String,
    floor: f32,
    palette: &'a Palette,
    dice: &'a mut Dice,
    ground: String,
    mid: String,
    light: String,
}

// Writing to a String cannot fail.
impl Canvas<'_> {
    fn circle(&mut self, (x, y): (f32, f32), radius: f32, fill: &str) {
        let _ = write!(
            self.svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{fill}"/>"#
        );
    }

    fn ring(&mut self, (x, y): (f32, f32), radius: f32, width: f32, stroke: &str) {
        let _ = write!(
            self.svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="none" stroke="{stroke}" stroke-width="{width:.1}"/>"#
        );
    }

    fn rect(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), fill: &str) {
        let _ = write!(
            self.svg,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        );
    }

    fn path(&mut self, shape: impl Display, fill: &str) {
        let _ = write!(self.svg, r#"<path d="{shape}" fill="{fill}"/>"#);
    }

    fn line(&mut self, shape: impl Display, width: f32, stroke: &str) {
        let _ = write!(
            self.svg,
            r#"<path d="{shape}" fill="none" stroke="{stroke}" stroke-width="{width:.1}"/>"#
        );
    }

    fn polygon(&mut self, points: &[(f32, f32)], fill: &str) {
        self.svg.push_str(r#"<polygon points=""#);
        for (x, y) in points {
            let _ = write!(self.svg, "{x:.1},{y:.1} ");
        }
        let _ = write!(self.svg, r#"" fill="{fill}"/>"#);
    }

    /// A shade from the ground (0) to the middle colour (1) and a little beyond.
    fn shade(&self, part: f32) -> String {
        self.palette.between(part)
    }

    fn some_shade(&mut self) -> String {
        let part = self.dice.range(0.35, 1.0);
        self.shade(part)
    }

    fn stars(&mut self, count: usize) {
        let light = self.light.clone();
        for _ in 0..count {
            let at = (
                self.dice.range(4.0, 196.0),
                self.dice.range(6.0, self.floor - 8.0),
            );
            let size = self.dice.range(0.5, 1.6);
            self.circle(at, size, &light);
        }
    }
}
