//! The pictures: what is drawn for each family of genres.
//!
//! Each family has several, of which a film has one by chance. A picture may use the whole cover:
//! what lies below its floor is painted over afterwards.

mod city;
mod comedy;
mod drama;
mod horror;
mod land;
mod neutral;
mod past;
mod pattern;
mod silent;
mod sky;
mod space;
mod western;

use std::fmt::{Display, Write};

use super::dice::Dice;
use super::genre::Family;
use super::palette::Palette;

/// A picture and its name, by which tests tell it from others.
type Picture = (&'static str, fn(&mut Canvas<'_>));

/// The pictures of a family. One that stands twice is drawn twice as often.
fn pictures(family: Family) -> &'static [Picture] {
    match family {
        Family::Space => &[
            ("ringed", space::ringed),
            ("eclipse", space::eclipse),
            ("orbits", space::orbits),
            ("galaxy", space::galaxy),
            ("horizon", space::horizon),
            ("saucer", space::saucer),
        ],
        Family::Fantasy => &[("portal", sky::portal), ("castle", sky::castle)],
        Family::Romance => &[
            ("two moons", sky::two_moons),
            ("two moons", sky::two_moons),
            ("flower", sky::flower),
        ],
        Family::Silent => &[
            ("iris", silent::iris),
            ("leader", silent::leader),
            ("strip", silent::strip),
            ("card", silent::card),
        ],
        Family::Western => &[
            ("mesa", western::mesa),
            ("mesa", western::mesa),
            ("cactus", western::cactus),
            ("badge", western::badge),
            ("wheel", western::wheel),
        ],
        Family::Animated => &[("hills", land::hills)],
        Family::Adventure => &[
            ("peaks", land::peaks),
            ("peaks", land::peaks),
            ("ship", past::ship),
            ("compass", land::compass),
        ],
        Family::Antiquity => &[("columns", past::columns)],
        Family::Historical => &[
            ("lancets", past::lancets),
            ("banners", past::banners),
            ("ship", past::ship),
        ],
        Family::Biography => &[
            ("portrait", past::portrait),
            ("portrait", past::portrait),
            ("year rings", past::year_rings),
        ],
        Family::Crime => &[
            ("blinds", city::blinds),
            ("skyline", city::skyline),
            ("spotlight", city::spotlight),
        ],
        Family::Mystery => &[("keyhole", city::keyhole), ("spiral", city::spiral)],
        Family::Thriller => &[("corridor", city::corridor), ("splinters", city::splinters)],
        Family::Horror => &[
            ("teeth", horror::teeth),
            ("claws", horror::claws),
            ("tree", horror::tree),
            ("eyes", horror::eyes),
            ("drips", horror::drips),
        ],
        Family::Musical => &[
            ("waves", pattern::waves),
            ("record", pattern::record),
            ("keys", pattern::keys),
        ],
        Family::War => &[
            ("chevrons", pattern::chevrons),
            ("searchlights", pattern::searchlights),
        ],
        Family::Action => &[("burst", pattern::burst), ("speed", pattern::speed)],
        Family::Documentary => &[("frames", pattern::frames), ("lens", pattern::lens)],
        Family::Comedy => &[
            ("confetti", comedy::confetti),
            ("confetti", comedy::confetti),
            ("face", comedy::face),
            ("bunting", comedy::bunting),
            ("balloons", comedy::balloons),
        ],
        Family::Drama => &[
            ("ripples", drama::ripples),
            ("sails", drama::sails),
            ("doorway", drama::doorway),
            ("bough", drama::bough),
            ("stairs", drama::stairs),
        ],
        Family::Neutral => &[
            ("curtain", neutral::curtain),
            ("beam", neutral::beam),
            ("bulbs", neutral::bulbs),
        ],
    }
}

/// Draws one of the family's pictures between the top of the cover and `floor`.
pub(super) fn draw(
    svg: &mut String,
    family: Family,
    floor: f32,
    palette: &Palette,
    dice: &mut Dice,
) {
    let (_, picture) = dice.pick(pictures(family));
    let Palette {
        ground, mid, light, ..
    } = palette.hex();
    picture(&mut Canvas {
        svg,
        floor,
        palette,
        dice,
        ground,
        mid,
        light,
    });
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
    fn colours(&self) -> [String; 3] {
        [self.mid.clone(), self.light.clone(), self.ground.clone()]
    }

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

    fn ellipse(&mut self, (x, y): (f32, f32), (rx, ry): (f32, f32), fill: &str) {
        let _ = write!(
            self.svg,
            r#"<ellipse cx="{x:.1}" cy="{y:.1}" rx="{rx:.1}" ry="{ry:.1}" fill="{fill}"/>"#
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

    /// A line with round ends and corners.
    fn round_line(&mut self, shape: impl Display, width: f32, stroke: &str) {
        let _ = write!(
            self.svg,
            r#"<path d="{shape}" fill="none" stroke="{stroke}" stroke-width="{width:.1}" stroke-linecap="round" stroke-linejoin="round"/>"#
        );
    }

    /// Moves and turns what is drawn until the group is closed.
    fn open_group(&mut self, transform: impl Display) {
        let _ = write!(self.svg, r#"<g transform="{transform}">"#);
    }

    fn open_faint_group(&mut self, opacity: f32) {
        let _ = write!(self.svg, r#"<g opacity="{opacity}">"#);
    }

    fn close_group(&mut self) {
        self.svg.push_str("</g>");
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every picture of every family, drawn for several films under long and short titles.
    fn drawn() -> Vec<(&'static str, String)> {
        let mut drawings = Vec::new();
        for family in Family::ALL {
            for (name, picture) in pictures(family) {
                for film in 0..40_u8 {
                    let mut dice = Dice::new(&film.to_string(), "1999");
                    let palette = Palette::draw(family, &mut dice);
                    let Palette {
                        ground, mid, light, ..
                    } = palette.hex();
                    let mut svg = String::new();
                    picture(&mut Canvas {
                        svg: &mut svg,
                        floor: 98.0 + 3.6 * f32::from(film),
                        palette: &palette,
                        dice: &mut dice,
                        ground,
                        mid,
                        light,
                    });
                    drawings.push((*name, svg));
                }
            }
        }
        drawings
    }

    #[test]
    fn families_that_fill_walls_have_several_pictures() {
        for family in [
            Family::Western,
            Family::Silent,
            Family::Horror,
            Family::Space,
            Family::Drama,
            Family::Comedy,
            Family::Neutral,
        ] {
            let names: HashSet<&str> = pictures(family).iter().map(|(name, _)| *name).collect();
            assert!(names.len() >= 3, "{family:?}: {names:?}");
        }
    }

    #[test]
    fn columns_stand_for_antiquity_only() {
        for family in Family::ALL {
            let has_columns = pictures(family).iter().any(|(name, _)| *name == "columns");
            assert_eq!(has_columns, family == Family::Antiquity, "{family:?}");
        }
    }

    #[test]
    fn nothing_is_skewed() {
        for (name, svg) in drawn() {
            assert!(!svg.contains("skew") && !svg.contains("matrix"), "{name}");
        }
    }

    #[test]
    fn every_picture_is_sound_and_small() {
        for (name, svg) in drawn() {
            assert!(svg.len() < 16_000, "{name}: {} bytes", svg.len());
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{name}: {svg}"
            );
            for size in ["r=\"-", "rx=\"-", "ry=\"-", "width=\"-", "height=\"-"] {
                assert!(!svg.contains(size), "{name} has a negative {size}: {svg}");
            }
            assert_eq!(
                svg.matches("<g ").count(),
                svg.matches("</g>").count(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_picture_is_another_for_another_film() {
        let drawings: HashSet<(&str, String)> = drawn().into_iter().collect();
        let names: HashSet<&str> = drawings.iter().map(|(name, _)| *name).collect();
        for name in names {
            let different = drawings.iter().filter(|(other, _)| *other == name).count();
            assert!(different >= 40, "{name}: {different}");
        }
    }
}
