//! Drawn portraits: who has no picture gets one, by the same means as films get covers. A portrait is a pure function of the name:
//! the letter with which it begins, before a shape and in colours that a hash of it chooses.

use std::fmt::Write;

use proto::text::fold;
use unicode_segmentation::UnicodeSegmentation;

use super::{dice::Dice, escape, genre::Family, lettering::printable, palette::Palette};

/// Grows with each change of how portraits are drawn, so that browsers fetch them anew.
const DESIGN: &str = "portrait 1";

/// The families whose colours portraits have.
const FAMILIES: [Family; 8] = [
    Family::Space,
    Family::Western,
    Family::Musical,
    Family::Animated,
    Family::Romance,
    Family::Adventure,
    Family::Comedy,
    Family::Neutral,
];

/// Draws the portrait of a person as a complete SVG document, the same for names that differ in case alone.
pub(crate) fn portrait(name: &str) -> String {
    let name = printable(name);
    let mut dice = Dice::new(&fold(&name), DESIGN);
    let palette = Palette::draw(dice.pick(&FAMILIES), &mut dice);
    let middle = palette.between(0.6);
    let Palette {
        ground, light, ink, ..
    } = palette.hex();
    let letter = name.graphemes(true).next().unwrap_or("?").to_uppercase();
    let (name, letter) = (escape(&name), escape(&letter));
    let mut svg = String::with_capacity(1_024);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="256" height="256" role="img" aria-label="{name}"><title>{name}</title><rect width="200" height="200" fill="{ground}"/>"#
    );
    shape(&mut svg, &middle, &light, &mut dice);
    let _ = write!(
        svg,
        r#"<text x="100" y="136" text-anchor="middle" font-family="system-ui, 'Noto Sans', sans-serif" font-size="104" font-weight="800" fill="{ink}" stroke="{ground}" stroke-width="6" paint-order="stroke" stroke-linejoin="round">{letter}</text></svg>"#
    );
    svg
}

/// What stands behind the letter.
fn shape(svg: &mut String, middle: &str, light: &str, dice: &mut Dice) {
    match dice.below(4) {
        // A moon, and the bulbs of the house below it.
        0 => {
            let (x, y) = (dice.range(50.0, 150.0), dice.range(48.0, 76.0));
            let _ = write!(
                svg,
                r#"<circle cx="{x:.0}" cy="{y:.0}" r="44" fill="{middle}"/>"#
            );
            for bulb in 0..6 {
                let x = 25 + bulb * 30;
                let _ = write!(svg, r#"<circle cx="{x}" cy="176" r="6" fill="{light}"/>"#);
            }
        }
        // The cone of a projector.
        1 => {
            let y = dice.range(20.0, 80.0);
            let (from, to) = (y - 70.0, y + 130.0);
            let _ = write!(
                svg,
                r#"<path d="M0 {y:.0}L200 {from:.0}V{to:.0}z" fill="{middle}"/><circle cx="0" cy="{y:.0}" r="16" fill="{light}"/>"#
            );
        }
        // A curtain that opens.
        2 => {
            let gap = dice.range(18.0, 40.0);
            for fold in 0..4_u8 {
                let x = f32::from(fold) * 20.0;
                let edge = x + 12.0 + gap / 10.0;
                let (right, right_edge) = (200.0 - x, 200.0 - edge);
                let _ = write!(
                    svg,
                    r#"<path d="M{x:.0} 0H{edge:.0}L{x:.0} 200zM{right:.0} 0H{right_edge:.0}L{right:.0} 200z" fill="{middle}"/>"#
                );
            }
            let _ = write!(
                svg,
                r#"<rect y="188" width="200" height="12" fill="{light}"/>"#
            );
        }
        // A reel.
        _ => {
            let turned = dice.range(0.0, 60.0);
            let _ = write!(
                svg,
                r#"<g transform="rotate({turned:.0} 100 100)"><circle cx="100" cy="100" r="84" fill="none" stroke="{middle}" stroke-width="26" stroke-dasharray="66 22"/><circle cx="100" cy="8" r="5" fill="{light}"/><circle cx="100" cy="192" r="5" fill="{light}"/></g>"#
            );
        }
    }
}

/// A short text that changes whenever the portrait of this name does, for its URL.
pub(crate) fn portrait_version(name: &str) -> String {
    super::version(&fold(&printable(name)), DESIGN, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_portrait_and_another_one_another() {
        assert_eq!(portrait("ann"), portrait("ann"));
        assert_ne!(portrait("ann"), portrait("anna"));
        assert_eq!(portrait_version("ann"), portrait_version("ANN"));
        assert_ne!(portrait_version("ann"), portrait_version("anna"));
    }

    #[test]
    fn a_portrait_shows_the_first_letter_in_any_script() {
        for (name, letter) in [
            ("ann", "A"),
            ("Zoë", "Z"),
            ("用户名", "用"),
            ("ünal", "Ü"),
            ("", "?"),
        ] {
            let svg = portrait(name);
            assert!(svg.ends_with(&format!(">{letter}</text></svg>")), "{svg}");
        }
    }

    #[test]
    fn nothing_in_a_name_gets_out_of_the_text_and_no_style_gets_in() {
        let svg = portrait(r#"<b>"/></svg><script>alert('1')</script>&x;"#);
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
        assert!(!svg.contains("&x;") && !svg.contains("style="), "{svg}");
        assert_eq!(svg.matches("</svg>").count(), 1);
        for number in 0..50 {
            let svg = portrait(&format!("person{number}"));
            assert!(svg.len() < 2_000 && !svg.contains("NaN"), "{svg}");
        }
    }
}
