//! Drawn covers: no film has a poster, so each gets a picture of its own.
//!
//! A cover is a pure function of title, year and genre. The genre chooses the [motif] (orbits,
//! blinds, a sun on the horizon), a hash of title and year its colours and proportions, and the
//! title is [lettered] large at the foot, so that a film is found again by its face.
//!
//! [motif]: motif
//! [lettered]: lettering

mod dice;
mod genre;
mod lettering;
mod motif;
mod palette;
mod portrait;

use std::fmt::Write;

use sha2::{Digest, Sha256};

pub(super) use portrait::{portrait, portrait_version};

use dice::Dice;
use genre::Family;
use lettering::Lettering;
use palette::Palette;

/// Grows with each change of how covers are drawn, so that browsers fetch them anew.
const DESIGN: u8 = 2;

const WIDTH: f32 = 200.0;
const HEIGHT: f32 = 300.0;

/// Draws the cover of a film as a complete SVG document, the same for the same three texts.
pub(super) fn cover(title: &str, year: &str, genre: &str) -> String {
    let title = lettering::printable(title);
    let year = lettering::printable(year);
    let mut dice = Dice::new(&title, &year);
    let family = Family::of(genre);
    let palette = Palette::draw(family, &mut dice);
    let lettering = Lettering::set(&title);
    // The picture ends where the words begin; the last stretch fades into the ground.
    let floor = lettering.top() - 22.0;

    let mut svg = String::with_capacity(4096);
    let Palette {
        ground, light, ink, ..
    } = palette.hex();
    let name = escape(&title);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 300" width="400" height="600" role="img" aria-label="{name}"><title>{name}</title><defs><linearGradient id="fade" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{ground}" stop-opacity="0"/><stop offset="1" stop-color="{ground}"/></linearGradient></defs><rect width="200" height="300" fill="{ground}"/>"##
    );
    motif::draw(&mut svg, family, floor, &palette, &mut dice);
    let fade = floor - 30.0;
    let below = HEIGHT - floor;
    let _ = write!(
        svg,
        r##"<rect y="{fade:.0}" width="200" height="30.5" fill="url(#fade)"/><rect y="{floor:.0}" width="200" height="{below:.0}" fill="{ground}"/>"##
    );
    let year_colour = if palette.light_is_readable() {
        &light
    } else {
        &ink
    };
    lettering.write(&mut svg, &year, &ink, year_colour);
    svg.push_str("</svg>");
    svg
}

/// A short text that changes whenever the cover of these three texts does, for its URL.
pub(super) fn version(title: &str, year: &str, genre: &str) -> String {
    let mut hash = Sha256::new();
    hash.update([DESIGN]);
    for text in [title, year, genre] {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update(text.len().to_le_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().take(6).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Makes `text` safe between tags and inside quotation marks of XML.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_film_has_the_same_cover_and_another_film_another() {
        assert_eq!(
            cover("Alien", "1979", "Horror"),
            cover("Alien", "1979", "Horror")
        );
        assert_ne!(
            cover("Alien", "1979", "Horror"),
            cover("Aliens", "1979", "Horror")
        );
        assert_ne!(
            cover("Alien", "1979", "Horror"),
            cover("Alien", "1986", "Horror")
        );
        assert_ne!(
            cover("Alien", "1979", "Horror"),
            cover("Alien", "1979", "Comedy")
        );
    }

    #[test]
    fn the_version_tells_covers_apart() {
        assert_eq!(version("a", "b", "c"), version("a", "b", "c"));
        assert_ne!(version("ab", "c", ""), version("a", "bc", ""));
    }

    #[test]
    fn nothing_that_a_film_is_called_gets_out_of_the_text() {
        let evil = r#""/></svg><script>alert('1')</script>&x;"#;
        let svg = cover(evil, "<b>1", "<i>Comedy");
        assert!(!svg.contains("<script"), "{svg}");
        assert!(!svg.contains("<b>"), "{svg}");
        assert!(!svg.contains("<i>"), "{svg}");
        assert!(svg.contains("&lt;"), "{svg}");
        assert_eq!(svg.matches("</svg>").count(), 1);
        assert!(!svg.contains("&x;"));
    }

    #[test]
    fn covers_hold_nothing_that_the_content_security_policy_forbids() {
        for genre in ["Science Fiction", "Crime", "Romance", "Drama"] {
            let svg = cover("Some film", "1999", genre);
            assert!(!svg.contains("style="), "{svg}");
            assert!(!svg.contains("href"), "{svg}");
        }
    }

    #[test]
    fn covers_stay_small() {
        for genre in [
            "Science Fiction",
            "Crime",
            "Mystery",
            "Drama",
            "Comedy",
            "Western",
            "Horror",
        ] {
            for film in 0..50 {
                let size = cover(&format!("Film {film}"), "1999", genre).len();
                assert!(size < 24_000, "{genre} {film}: {size}");
            }
        }
    }
}
