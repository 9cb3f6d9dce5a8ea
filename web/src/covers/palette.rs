//! The colours of a cover.
//!
//! Each family has a few palettes, made by hand; each film shifts one of them a little.

use super::dice::Dice;
use super::genre::Family;

/// Hue in degrees, saturation and lightness in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hsl(pub f32, pub f32, pub f32);

/// Four colours that go together: what lies behind, what the picture is made of, the one that
/// catches the eye, and the one the title is written in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette<C = Hsl> {
    pub ground: C,
    pub mid: C,
    pub light: C,
    pub ink: C,
}

const WHITE: Hsl = Hsl(40.0, 30.0, 97.0);

/// A palette by night: a dark ground under a white title.
const fn night(ground: Hsl, mid: Hsl, light: Hsl) -> Palette {
    Palette {
        ground,
        mid,
        light,
        ink: WHITE,
    }
}

/// A palette by day: a bright ground under a dark title.
const fn day(ground: Hsl, mid: Hsl, light: Hsl, ink: Hsl) -> Palette {
    Palette {
        ground,
        mid,
        light,
        ink,
    }
}

const SPACE: &[Palette] = &[
    night(Hsl(206., 52., 13.), Hsl(205., 52., 38.), Hsl(34., 92., 68.)),
    night(
        Hsl(234., 44., 16.),
        Hsl(242., 46., 48.),
        Hsl(284., 72., 76.),
    ),
    night(
        Hsl(188., 52., 13.),
        Hsl(190., 48., 37.),
        Hsl(166., 68., 70.),
    ),
    night(Hsl(222., 50., 12.), Hsl(216., 60., 45.), Hsl(10., 86., 68.)),
];
const FANTASY: &[Palette] = &[
    night(Hsl(268., 42., 16.), Hsl(274., 42., 44.), Hsl(46., 92., 68.)),
    night(Hsl(170., 46., 13.), Hsl(166., 40., 36.), Hsl(52., 90., 72.)),
    night(
        Hsl(312., 40., 15.),
        Hsl(308., 40., 42.),
        Hsl(190., 70., 74.),
    ),
];
const HORROR: &[Palette] = &[
    night(Hsl(352., 56., 11.), Hsl(356., 66., 38.), Hsl(42., 84., 70.)),
    night(Hsl(270., 30., 10.), Hsl(350., 62., 40.), Hsl(68., 60., 74.)),
    night(Hsl(160., 36., 9.), Hsl(158., 34., 26.), Hsl(354., 82., 66.)),
];
const WESTERN: &[Palette] = &[
    night(Hsl(16., 52., 14.), Hsl(20., 62., 40.), Hsl(40., 94., 66.)),
    day(
        Hsl(36., 76., 66.),
        Hsl(18., 68., 46.),
        Hsl(6., 76., 48.),
        Hsl(14., 66., 14.),
    ),
    night(Hsl(346., 40., 16.), Hsl(8., 60., 46.), Hsl(30., 96., 68.)),
];
const MUSICAL: &[Palette] = &[
    night(
        Hsl(322., 52., 16.),
        Hsl(330., 56., 44.),
        Hsl(348., 90., 76.),
    ),
    night(
        Hsl(258., 50., 18.),
        Hsl(264., 50., 52.),
        Hsl(176., 68., 70.),
    ),
    day(
        Hsl(350., 78., 84.),
        Hsl(342., 66., 62.),
        Hsl(258., 56., 46.),
        Hsl(330., 60., 18.),
    ),
];
const ANIMATED: &[Palette] = &[
    night(Hsl(176., 58., 17.), Hsl(172., 50., 40.), Hsl(44., 94., 68.)),
    day(
        Hsl(196., 72., 80.),
        Hsl(168., 46., 48.),
        Hsl(16., 88., 60.),
        Hsl(204., 66., 16.),
    ),
    night(
        Hsl(216., 56., 20.),
        Hsl(200., 60., 48.),
        Hsl(340., 84., 76.),
    ),
];
const ROMANCE: &[Palette] = &[
    night(Hsl(344., 50., 17.), Hsl(350., 56., 50.), Hsl(20., 90., 72.)),
    day(
        Hsl(10., 76., 88.),
        Hsl(350., 64., 66.),
        Hsl(28., 88., 62.),
        Hsl(344., 58., 20.),
    ),
    night(Hsl(300., 32., 18.), Hsl(330., 48., 52.), Hsl(12., 88., 74.)),
    night(
        Hsl(196., 44., 16.),
        Hsl(192., 38., 44.),
        Hsl(354., 84., 76.),
    ),
    day(
        Hsl(34., 66., 84.),
        Hsl(8., 70., 62.),
        Hsl(172., 42., 42.),
        Hsl(352., 50., 18.),
    ),
];
const CRIME: &[Palette] = &[
    night(Hsl(228., 26., 11.), Hsl(226., 20., 36.), Hsl(44., 62., 78.)),
    night(
        Hsl(216., 44., 13.),
        Hsl(218., 42., 40.),
        Hsl(200., 62., 74.),
    ),
    night(
        Hsl(250., 34., 13.),
        Hsl(254., 34., 42.),
        Hsl(332., 72., 74.),
    ),
    night(Hsl(30., 12., 11.), Hsl(32., 12., 38.), Hsl(38., 40., 82.)),
];
const MYSTERY: &[Palette] = &[
    night(Hsl(252., 42., 14.), Hsl(252., 38., 42.), Hsl(48., 90., 70.)),
    night(Hsl(194., 44., 12.), Hsl(196., 40., 36.), Hsl(24., 88., 70.)),
];
const THRILLER: &[Palette] = &[
    night(Hsl(192., 48., 11.), Hsl(190., 46., 34.), Hsl(56., 92., 68.)),
    night(Hsl(0., 0., 10.), Hsl(0., 0., 32.), Hsl(4., 86., 64.)),
    night(Hsl(212., 52., 14.), Hsl(210., 50., 42.), Hsl(18., 92., 68.)),
];
const WAR: &[Palette] = &[
    night(Hsl(76., 26., 13.), Hsl(74., 26., 36.), Hsl(46., 84., 66.)),
    night(Hsl(24., 26., 13.), Hsl(26., 32., 38.), Hsl(12., 84., 66.)),
    night(Hsl(206., 24., 13.), Hsl(204., 22., 38.), Hsl(40., 82., 70.)),
];
const ACTION: &[Palette] = &[
    night(Hsl(14., 64., 14.), Hsl(14., 74., 44.), Hsl(46., 96., 66.)),
    day(
        Hsl(44., 94., 60.),
        Hsl(24., 92., 52.),
        Hsl(2., 76., 46.),
        Hsl(14., 70., 12.),
    ),
    night(Hsl(218., 60., 15.), Hsl(216., 62., 46.), Hsl(36., 96., 66.)),
];
const ADVENTURE: &[Palette] = &[
    night(Hsl(158., 50., 13.), Hsl(156., 42., 36.), Hsl(42., 92., 68.)),
    day(
        Hsl(42., 70., 82.),
        Hsl(168., 36., 42.),
        Hsl(18., 82., 56.),
        Hsl(178., 56., 14.),
    ),
    night(Hsl(206., 56., 16.), Hsl(196., 50., 44.), Hsl(26., 92., 70.)),
];
const DOCUMENTARY: &[Palette] = &[
    night(Hsl(200., 36., 14.), Hsl(202., 32., 38.), Hsl(42., 90., 68.)),
    day(
        Hsl(48., 34., 88.),
        Hsl(200., 22., 60.),
        Hsl(12., 78., 52.),
        Hsl(204., 40., 16.),
    ),
];
const HISTORICAL: &[Palette] = &[
    night(Hsl(36., 40., 13.), Hsl(36., 42., 40.), Hsl(42., 80., 74.)),
    night(Hsl(346., 42., 15.), Hsl(350., 38., 42.), Hsl(40., 82., 72.)),
    night(Hsl(214., 36., 15.), Hsl(214., 30., 44.), Hsl(36., 72., 76.)),
];
const BIOGRAPHY: &[Palette] = &[
    night(Hsl(214., 36., 15.), Hsl(214., 30., 46.), Hsl(36., 72., 76.)),
    day(
        Hsl(36., 48., 86.),
        Hsl(20., 40., 46.),
        Hsl(176., 42., 34.),
        Hsl(20., 46., 16.),
    ),
    night(Hsl(162., 34., 13.), Hsl(160., 26., 42.), Hsl(44., 78., 74.)),
    night(Hsl(346., 42., 15.), Hsl(350., 38., 46.), Hsl(40., 82., 74.)),
];
const NEUTRAL: &[Palette] = &[
    night(Hsl(354., 54., 14.), Hsl(356., 58., 40.), Hsl(44., 92., 72.)),
    night(Hsl(226., 38., 14.), Hsl(226., 32., 42.), Hsl(44., 92., 70.)),
    night(Hsl(168., 38., 12.), Hsl(168., 32., 34.), Hsl(40., 88., 72.)),
    day(
        Hsl(44., 52., 88.),
        Hsl(8., 58., 54.),
        Hsl(38., 92., 52.),
        Hsl(8., 52., 17.),
    ),
];
const COMEDY: &[Palette] = &[
    day(
        Hsl(46., 94., 62.),
        Hsl(14., 88., 60.),
        Hsl(196., 78., 40.),
        Hsl(22., 70., 13.),
    ),
    day(
        Hsl(172., 48., 76.),
        Hsl(340., 78., 66.),
        Hsl(44., 96., 54.),
        Hsl(188., 66., 14.),
    ),
    night(Hsl(218., 52., 20.), Hsl(350., 74., 62.), Hsl(46., 96., 64.)),
    day(
        Hsl(14., 88., 80.),
        Hsl(354., 70., 56.),
        Hsl(206., 62., 40.),
        Hsl(350., 62., 17.),
    ),
];
const SILENT: &[Palette] = &[
    night(Hsl(32., 14., 11.), Hsl(34., 14., 34.), Hsl(40., 34., 80.)),
    day(
        Hsl(42., 40., 84.),
        Hsl(36., 20., 56.),
        Hsl(28., 24., 24.),
        Hsl(28., 30., 12.),
    ),
];
const DRAMA: &[Palette] = &[
    night(Hsl(208., 46., 15.), Hsl(212., 44., 42.), Hsl(30., 90., 72.)),
    night(Hsl(176., 40., 13.), Hsl(178., 36., 36.), Hsl(44., 84., 72.)),
    night(Hsl(20., 36., 14.), Hsl(16., 44., 42.), Hsl(36., 88., 74.)),
    night(
        Hsl(282., 28., 16.),
        Hsl(286., 28., 44.),
        Hsl(350., 80., 76.),
    ),
    day(
        Hsl(32., 52., 86.),
        Hsl(206., 34., 54.),
        Hsl(14., 76., 52.),
        Hsl(214., 48., 18.),
    ),
];

impl Palette {
    /// One of the family's palettes, shifted a little, so that no two films share one exactly.
    pub(super) fn draw(family: Family, dice: &mut Dice) -> Self {
        let chosen = dice.pick(match family {
            Family::Space => SPACE,
            Family::Fantasy => FANTASY,
            Family::Horror => HORROR,
            Family::Western => WESTERN,
            Family::Musical => MUSICAL,
            Family::Animated => ANIMATED,
            Family::Romance => ROMANCE,
            Family::Crime => CRIME,
            Family::Mystery => MYSTERY,
            Family::Thriller => THRILLER,
            Family::War => WAR,
            Family::Action => ACTION,
            Family::Adventure => ADVENTURE,
            Family::Documentary => DOCUMENTARY,
            Family::Historical | Family::Antiquity => HISTORICAL,
            Family::Biography => BIOGRAPHY,
            Family::Comedy => COMEDY,
            Family::Silent => SILENT,
            Family::Drama => DRAMA,
            Family::Neutral => NEUTRAL,
        });
        let hue = dice.range(-9.0, 9.0);
        let lightness = dice.range(-1.5, 2.5);
        let shift = |Hsl(h, s, l): Hsl| Hsl(h + hue, s, l + lightness);
        Self {
            ground: shift(chosen.ground),
            mid: shift(chosen.mid),
            light: shift(chosen.light),
            ink: chosen.ink,
        }
    }

    /// The colours as SVG writes them.
    pub(super) fn hex(&self) -> Palette<String> {
        Palette {
            ground: self.ground.hex(),
            mid: self.mid.hex(),
            light: self.light.hex(),
            ink: self.ink.hex(),
        }
    }

    /// Whether small words in the light colour can be read on the ground (WCAG AA).
    pub(super) fn light_is_readable(&self) -> bool {
        self.light.contrast(self.ground) >= 4.5
    }

    /// A colour part of the way from the ground to the middle one.
    pub(super) fn between(&self, part: f32) -> String {
        let [from, to] = [self.ground.rgb(), self.mid.rgb()];
        let mix = |from: f32, to: f32| from + (to - from) * part;
        hex([
            mix(from[0], to[0]),
            mix(from[1], to[1]),
            mix(from[2], to[2]),
        ])
    }
}

impl Hsl {
    fn rgb(self) -> [f32; 3] {
        let Self(hue, saturation, lightness) = self;
        let (s, l) = (saturation / 100.0, (lightness / 100.0).clamp(0.0, 1.0));
        let amplitude = s * l.min(1.0 - l);
        [0.0, 8.0, 4.0].map(|n: f32| {
            let k = (n + hue.rem_euclid(360.0) / 30.0) % 12.0;
            l - amplitude * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
        })
    }

    pub(super) fn hex(self) -> String {
        hex(self.rgb())
    }

    fn luminance(self) -> f32 {
        let [r, g, b] = self.rgb().map(|c| {
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// The contrast ratio of two colours as WCAG defines it, 1 to 21.
    pub(super) fn contrast(self, other: Self) -> f32 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}

fn hex(rgb: [f32; 3]) -> String {
    let [r, g, b] = rgb.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_written_as_svg_reads_them() {
        assert_eq!(Hsl(0.0, 100.0, 50.0).hex(), "#ff0000");
        assert_eq!(Hsl(120.0, 100.0, 25.0).hex(), "#008000");
        assert_eq!(Hsl(-120.0, 100.0, 50.0).hex(), "#0000ff");
        assert_eq!(Hsl(0.0, 0.0, 100.0).hex(), "#ffffff");
    }

    #[test]
    fn every_title_can_be_read() {
        for family in Family::ALL {
            for film in 0..100 {
                let mut dice = Dice::new(&film.to_string(), "");
                let palette = Palette::draw(family, &mut dice);
                let contrast = palette.ink.contrast(palette.ground);
                assert!(contrast >= 7.0, "{family:?} {film}: {contrast}");
            }
        }
    }
}
