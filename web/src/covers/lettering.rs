//! The title on a cover: as large as it fits, in any script, from either side.
//!
//! The words are set as large as they fit. A smaller size is preferred to a broken word as long as it can be read.

mod lines;
mod typeface;

use std::fmt::Write;

use unicode_segmentation::UnicodeSegmentation;

use super::{HEIGHT, WIDTH, escape};
use lines::{count, cut, fill, fill_evenly, is_broken, pieces};
use typeface::{Reach, capitals, is_accent, strong_direction, width};

const MARGIN: f32 = 16.0;
const LINE: f32 = WIDTH - 2.0 * MARGIN;
/// The most that all lines together may take of the height.
const BLOCK: f32 = 116.0;
/// The smallest distance between two lines, in ems, and the space between their letters.
const LEADING: f32 = 1.06;
const GAP: f32 = 0.1;
const SMALLEST: u8 = 8;
/// A word that fits whole only below this size is broken instead, unless the title is so long that it is set
/// smaller anyhow.
const SMALLEST_WHOLE: u8 = 11;
/// A word that fits no line is not set larger than this.
const LARGEST_BROKEN: u8 = 22;
/// How much smaller a title may be set so that it takes a line less, and no smaller than this.
const WORTH_A_LINE: f32 = 0.8;
const SMALLEST_FOR_A_LINE: f32 = 18.0;
/// More of a title than this cannot be set anyhow: in letters, and in characters, because a letter
/// may have any number of them.
const LONGEST: usize = 400;
const LONGEST_CHARACTERS: usize = 4 * LONGEST;
/// How many accents a letter keeps: as many as any language stacks.
const ACCENTS: usize = 2;
const YEAR_SIZE: f32 = 11.0;
const YEAR_SPACING: f32 = 1.0;

/// A title, broken into lines.
pub(super) struct Lettering {
    lines: Vec<String>,
    size: f32,
    /// From one line to the next, in ems.
    leading: f32,
    right_to_left: bool,
}

impl Lettering {
    /// Finds the largest size at which the title fits, and its lines, evenly filled.
    pub(super) fn set(title: &str) -> Self {
        let title = capitals(title);
        let whole = Self::set_pieces(&title, SMALLEST);
        let can_be_read = |lettering: &Self| lettering.size >= f32::from(SMALLEST_WHOLE);
        if can_be_read(&whole) {
            return whole;
        }
        let broken = Self::set_pieces(&title, SMALLEST_WHOLE);
        if can_be_read(&broken) { broken } else { whole }
    }

    /// As [`set`](Self::set), but breaks each word that fits no line at the size `breaking`.
    fn set_pieces(title: &str, breaking: u8) -> Self {
        let right_to_left = title.chars().find_map(strong_direction).unwrap_or(false);
        let reach = Reach::of(title);
        let leading = (reach.up + reach.down + GAP).max(LEADING);
        let pieces = pieces(title, LINE / f32::from(breaking));
        let largest = match title.graphemes(true).count() {
            _ if is_broken(&pieces) => LARGEST_BROKEN,
            0..=1 => 104,
            2 => 84,
            3 => 60,
            4..=7 => 44,
            _ => 33,
        };
        let most_lines =
            |size: f32| ((BLOCK / size - reach.up - reach.down) / leading) as usize + 1;
        let fitting = |size: u8| {
            let size = f32::from(size);
            let lines = count(&pieces, LINE / size)?;
            (lines <= most_lines(size)).then_some((size, lines))
        };
        let mut sizes = (SMALLEST..=largest).rev().filter_map(fitting);
        let (size, lines) = if let Some((size, lines)) = sizes.next() {
            // A little smaller is better if it saves a line: AMNESIA, then IN SPACE.
            let (size, _) = sizes
                .take_while(|(smaller, _)| {
                    *smaller >= (size * WORTH_A_LINE).max(SMALLEST_FOR_A_LINE)
                })
                .find(|(_, fewer)| *fewer < lines)
                .unwrap_or((size, lines));
            (size, fill_evenly(&pieces, LINE / size))
        } else {
            let size = f32::from(SMALLEST);
            let mut lines = fill(&pieces, LINE / size);
            lines.truncate(most_lines(size));
            if let Some(last) = lines.last_mut() {
                cut(last, LINE / size);
            }
            (size, lines)
        };
        Self {
            lines,
            size,
            leading,
            right_to_left,
        }
    }

    /// Where the words begin, the year included, in pixels from the top.
    pub(super) fn top(&self) -> f32 {
        self.year_baseline() - YEAR_SIZE
    }

    fn first_baseline(&self) -> f32 {
        let further_lines = self.lines.len().saturating_sub(1) as f32;
        self.last_baseline() - further_lines * self.size * self.leading
    }

    fn last_baseline(&self) -> f32 {
        let below = self.lines.last().map_or(0.0, |line| Reach::of(line).down);
        HEIGHT - (10.0 + below * self.size).max(19.0)
    }

    fn year_baseline(&self) -> f32 {
        let above = self.lines.first().map_or(0.0, |line| Reach::of(line).up);
        self.first_baseline() - above * self.size - 10.0
    }

    /// Writes the lines, and the year above them, as SVG text.
    pub(super) fn write(&self, svg: &mut String, year: &str, ink: &str, year_colour: &str) {
        let (x, direction) = if self.right_to_left {
            (WIDTH - MARGIN, r#" direction="rtl""#)
        } else {
            (MARGIN, "")
        };
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            r#"<g font-family="system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif"{direction}>"#
        );
        if !year.is_empty() {
            let y = self.year_baseline();
            let year = escape(&year_that_fits(year));
            let _ = write!(
                svg,
                r#"<text x="{x}" y="{y:.1}" font-size="{YEAR_SIZE}" font-weight="600" letter-spacing="{YEAR_SPACING}" fill="{year_colour}">{year}</text>"#
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            let y = self.first_baseline() + number as f32 * self.size * self.leading;
            let _ = write!(
                svg,
                r#"<text x="{x}" y="{y:.1}" font-size="{}" font-weight="800" fill="{ink}">{}</text>"#,
                self.size,
                escape(line)
            );
        }
        svg.push_str("</g>");
    }
}

/// The year is free text in older databases and may be longer than a line.
fn year_that_fits(year: &str) -> String {
    let mut year = year.to_owned();
    let spacing = YEAR_SPACING * year.graphemes(true).count() as f32;
    if width(&year) * YEAR_SIZE + spacing > LINE {
        cut(&mut year, LINE / (YEAR_SIZE + 2.0 * YEAR_SPACING));
    }
    year
}

/// Takes out what XML forbids, what would turn neighbouring text around and what is not seen, makes
/// one space of many, and bounds how long a text is and how many accents a letter has.
pub(super) fn printable(text: &str) -> String {
    let mut accents = 0;
    let kept: String = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| {
            if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') {
                ' '
            } else {
                c
            }
        })
        .filter(|c| {
            accents = if is_accent(*c) { accents + 1 } else { 0 };
            accents <= ACCENTS
        })
        .take(LONGEST_CHARACTERS)
        .collect();
    let words: Vec<&str> = kept.split_whitespace().collect();
    words.join(" ").graphemes(true).take(LONGEST).collect()
}

/// Marks of direction and what has no width; not the joiners, which other scripts and emoji need.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(title: &str) -> Vec<String> {
        Lettering::set(title).lines
    }

    #[test]
    fn a_short_title_is_set_larger_than_a_long_one() {
        let sizes = ["M", "Up", "Alien", "The Good, the Bad and the Ugly"]
            .map(|title| Lettering::set(title).size);
        assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    }

    #[test]
    fn lines_break_between_words_and_are_evenly_filled() {
        assert_eq!(lines("The Big Lebowski"), ["THE BIG", "LEBOWSKI"]);
        assert_eq!(lines("Amnesia in Space"), ["AMNESIA", "IN SPACE"]);
        assert_eq!(lines("WALL-E"), ["WALL-E"]);
        assert_eq!(lines("Spider-Man"), ["SPIDER-MAN"]);
    }

    #[test]
    fn no_word_is_broken_while_a_size_that_can_be_read_fits() {
        for title in [
            "Counterintelligence Chief",
            "Kindertransport",
            "The Misconceptions of Chappaquiddick",
            "Человек с киноаппаратом",
        ] {
            let words: Vec<String> = title.split(' ').map(str::to_uppercase).collect();
            let lines = lines(title);
            let set: Vec<&str> = lines.iter().flat_map(|line| line.split(' ')).collect();
            assert_eq!(set, words);
        }
    }

    #[test]
    fn a_word_is_broken_rather_than_set_too_small_to_read() {
        for title in [
            "Antidisestablishmentarianism",
            "Donaudampfschifffahrt",
            "Transcontinentalization",
            "WWWWWWWWWWWWWWWWWW",
        ] {
            let lettering = Lettering::set(title);
            assert!(lettering.size >= 16.0, "{title}: {}", lettering.size);
            let whole = lettering.lines.concat().replace('-', "");
            assert_eq!(whole, title.to_uppercase());
        }
    }

    #[test]
    fn words_stay_whole_where_the_title_is_too_long_for_a_larger_size() {
        let title = format!("Donaudampfschifffahrt {}", "and so on ".repeat(30));
        assert!(
            lines(&title)
                .join(" ")
                .starts_with("DONAUDAMPFSCHIFFFAHRT AND")
        );
    }

    #[test]
    fn only_the_word_that_fits_no_size_is_broken() {
        let lines = lines("The Word Pneumonoultramicroscopicsilicovolcanoconiosis Explained");
        assert!(lines.iter().any(|line| line.starts_with("THE WORD")));
        assert!(lines.last().unwrap().ends_with("EXPLAINED"), "{lines:?}");
        assert!(lines.iter().any(|line| line.ends_with('-')), "{lines:?}");
    }

    #[test]
    fn scripts_without_spaces_break_between_characters() {
        let lines = lines("千と千尋の神隠しの物語と長い題名");
        assert!(lines.len() > 1);
        assert_eq!(lines.concat(), "千と千尋の神隠しの物語と長い題名");
    }

    #[test]
    fn every_title_fits_its_frame() {
        for title in [
            "",
            "W",
            "Qj",
            "ǰ",
            "ÅÄÖ",
            "﷽",
            "e\u{301}",
            "นางนาก",
            "நாயகன்",
            &"W".repeat(364),
            &"word ".repeat(73),
            &"頭".repeat(364),
            &"👩‍🚀".repeat(60),
            &format!("{} z", "x\u{301}\u{302}\u{303}\u{304}".repeat(90)),
        ] {
            let title = printable(title);
            let lettering = Lettering::set(&title);
            assert!(lettering.top() > 120.0, "{title}: {}", lettering.top());
            let last = lettering.lines.last().map_or("", String::as_str);
            let bottom = lettering.last_baseline() + Reach::of(last).down * lettering.size;
            assert!(bottom <= HEIGHT - 9.9, "{title}: {bottom}");
            for line in &lettering.lines {
                let width = width(line) * lettering.size;
                assert!(width <= LINE + 0.1, "{line}: {width}");
            }
        }
    }

    #[test]
    fn a_title_of_364_characters_is_set_whole() {
        let title = "Seven men and a dog ".repeat(19);
        let title: String = title.chars().take(364).collect();
        let lines = lines(&title);
        assert_eq!(lines.join(" "), title.trim().to_uppercase());
    }

    #[test]
    fn a_title_that_is_cut_says_so() {
        let lettering = Lettering::set(&"Donaudampfschiff".repeat(30));
        assert!(lettering.lines.last().unwrap().ends_with('…'));
    }

    #[test]
    fn right_to_left_titles_begin_at_the_right() {
        assert!(Lettering::set("جدایی نادر از سیمین").right_to_left);
        assert!(Lettering::set("12 ימים").right_to_left);
        assert!(!Lettering::set("8½").right_to_left);
        assert!(!Lettering::set("Alien").right_to_left);
    }

    #[test]
    fn accents_do_not_touch_the_year() {
        let [plain, accented] = ["ETE", "ÉTÉ"].map(|title| Lettering::set(title).top());
        assert!(accented < plain);
    }

    #[test]
    fn a_year_that_is_no_year_fits_its_line() {
        assert_eq!(year_that_fits("1999"), "1999");
        let long = year_that_fits("sometime between the wars, perhaps later");
        assert!(long.ends_with('…'), "{long}");
        let spacing = YEAR_SPACING * long.chars().count() as f32;
        assert!(width(&long) * YEAR_SIZE + spacing <= LINE, "{long}");
    }

    #[test]
    fn what_cannot_be_printed_is_left_out() {
        assert_eq!(printable(" a\u{0}b\n c\u{202e}d\u{ffff} "), "a b cd");
        assert_eq!(printable("\u{200b}"), "");
        assert_eq!(printable("👩‍🚀"), "👩‍🚀");
        assert_eq!(
            printable("a\u{301}\u{302}\u{303}\u{304}b"),
            "a\u{301}\u{302}b"
        );
        assert_eq!(printable(&"x".repeat(100_000)).len(), LONGEST);
        assert!(printable(&"👩\u{200d}".repeat(100_000)).len() < 20_000);
    }
}
