//! The title on a cover: as large as it fits, in any script, from either side.

use std::fmt::Write;

use unicode_segmentation::UnicodeSegmentation;

use super::{HEIGHT, WIDTH, escape};

const MARGIN: f32 = 16.0;
const LINE: f32 = WIDTH - 2.0 * MARGIN;
/// The most that all lines together may take of the height.
const BLOCK: f32 = 124.0;
const LEADING: f32 = 1.06;
/// The height of capital letters, in ems.
const CAPITALS: f32 = 0.76;
/// A word that does not fit at this size is broken.
const SMALLEST_WHOLE: u8 = 15;
const LARGEST_BROKEN: u8 = 22;
const SMALLEST: u8 = 13;
/// How much smaller a title may be set so that it takes a line less.
const WORTH_A_LINE: f32 = 0.8;
/// A word of more characters than this may be parted at its hyphens: not WALL-E.
const LONG_WORD: usize = 10;
/// More of a title than this cannot be set anyhow.
const LONGEST: usize = 260;

/// A title, broken into lines.
pub(super) struct Lettering {
    lines: Vec<String>,
    size: f32,
    right_to_left: bool,
}

/// What stays together on a line.
struct Piece {
    text: String,
    /// In ems.
    width: f32,
    /// Whether a space parts it from the piece before when both stand on one line.
    spaced: bool,
}

impl Lettering {
    /// Finds the largest size at which the title fits, and its lines, evenly filled.
    pub(super) fn set(title: &str) -> Self {
        let title: String = title.graphemes(true).take(LONGEST).collect();
        let right_to_left = title.chars().find_map(strong_direction).unwrap_or(false);
        let capitals = title.to_uppercase();
        let largest = match capitals.graphemes(true).count() {
            0..=1 => 104,
            2 => 84,
            3 => 60,
            4..=7 => 44,
            _ => 33,
        };
        let words = pieces(&capitals, false);
        let has_giant = wrap(&words, LINE / f32::from(SMALLEST_WHOLE)).is_none();
        let (pieces, largest) = if has_giant {
            (pieces(&capitals, true), LARGEST_BROKEN)
        } else {
            (words, largest)
        };
        let fitting = |size: u8| {
            let lines = wrap(&pieces, LINE / f32::from(size))?;
            let fits = lines.len() as f32 * f32::from(size) * LEADING <= BLOCK;
            fits.then_some((f32::from(size), lines))
        };
        let mut sizes = (SMALLEST..=largest).rev().filter_map(fitting);
        if let Some((size, lines)) = sizes.next() {
            // A little smaller is better if it saves a line: AMNESIA, then IN SPACE.
            let (size, lines) = sizes
                .take_while(|(smaller, _)| *smaller >= size * WORTH_A_LINE)
                .find(|(_, fewer)| fewer.len() < lines.len())
                .unwrap_or((size, lines));
            return Self {
                lines: even(&pieces, LINE / size, lines),
                size,
                right_to_left,
            };
        }
        // Too long at any size: the line that is cut leaves room for the dots.
        let size = f32::from(SMALLEST);
        let mut lines = wrap(&pieces, LINE / size - width("…")).unwrap_or_default();
        lines.truncate((BLOCK / (size * LEADING)) as usize);
        if let Some(last) = lines.last_mut() {
            last.push('…');
        }
        Self {
            lines,
            size,
            right_to_left,
        }
    }

    /// Where the words begin, the year included, in pixels from the top.
    pub(super) fn top(&self) -> f32 {
        self.year_baseline() - 11.0
    }

    fn first_baseline(&self) -> f32 {
        let further_lines = self.lines.len().saturating_sub(1) as f32;
        HEIGHT - 19.0 - further_lines * self.size * LEADING
    }

    fn year_baseline(&self) -> f32 {
        self.first_baseline() - self.size * CAPITALS - 10.0
    }

    /// Writes the lines, and the year above them, as SVG text. `year` is escaped already.
    pub(super) fn write(&self, svg: &mut String, year: &str, ink: &str, year_colour: &str) {
        let (x, direction) = if self.right_to_left {
            (WIDTH - MARGIN, r#" direction="rtl""#)
        } else {
            (MARGIN, "")
        };
        let _ = write!(
            svg,
            r#"<g font-family="system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif"{direction}>"#
        );
        if !year.is_empty() {
            let y = self.year_baseline();
            let _ = write!(
                svg,
                r#"<text x="{x}" y="{y:.1}" font-size="11" font-weight="600" letter-spacing="1" fill="{year_colour}">{year}</text>"#
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            let y = self.first_baseline() + number as f32 * self.size * LEADING;
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

/// Takes out what XML forbids or what would turn neighbouring text around, and makes one space of
/// many.
pub(super) fn printable(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c })
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Splits a text where a line may end: at spaces, after the hyphens of long words, between Chinese, Japanese and
/// Korean characters; or, if `anywhere`, between any two letters.
fn pieces(text: &str, anywhere: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for word in text.split_whitespace() {
        let mut spaced = true;
        let mut open: Option<Piece> = None;
        let is_long = word.chars().count() > LONG_WORD;
        for letter in word.graphemes(true) {
            let width = width(letter);
            let apart = anywhere || is_ideographic(letter);
            match &mut open {
                Some(piece) if !apart && !ends_open(&piece.text, is_long) => {
                    piece.text.push_str(letter);
                    piece.width += width;
                }
                _ => {
                    pieces.extend(open.take());
                    open = Some(Piece {
                        text: letter.to_owned(),
                        width,
                        spaced,
                    });
                    spaced = false;
                }
            }
        }
        pieces.extend(open);
    }
    pieces
}

/// Whether a line may end after this piece of a word.
fn ends_open(piece: &str, is_long: bool) -> bool {
    (is_long && piece.ends_with(['-', '–', '—', '/']))
        || piece.chars().next_back().is_some_and(is_cjk)
}

/// Fills lines of `limit` ems one after the other; nothing if a piece alone is too wide.
fn wrap(pieces: &[Piece], limit: f32) -> Option<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0.0;
    for piece in pieces {
        if piece.width > limit {
            return None;
        }
        let space = if piece.spaced { width(" ") } else { 0.0 };
        match lines.last_mut() {
            Some(line) if used + space + piece.width <= limit => {
                if piece.spaced {
                    line.push(' ');
                }
                line.push_str(&piece.text);
                used += space + piece.width;
            }
            _ => {
                lines.push(piece.text.clone());
                used = piece.width;
            }
        }
    }
    Some(lines)
}

/// The same number of lines, but none much shorter than the others.
fn even(pieces: &[Piece], limit: f32, lines: Vec<String>) -> Vec<String> {
    let (mut tight, mut fits, mut best) = (0.0, limit, lines);
    for _ in 0..8 {
        let middle = (tight + fits) / 2.0;
        match wrap(pieces, middle) {
            Some(lines) if lines.len() <= best.len() => {
                best = lines;
                fits = middle;
            }
            _ => tight = middle,
        }
    }
    best
}

/// The width of a letter in ems, rather too much than too little: which typeface the viewer's
/// system has is unknown, so this goes by a wide one.
fn width(letter: &str) -> f32 {
    let Some(first) = letter.chars().next() else {
        return 0.0;
    };
    match first {
        ' ' => 0.35,
        'I' | 'J' | '.' | ',' | ':' | ';' | '\'' | '’' | '!' | '|' | '·' => 0.40,
        '-' | '(' | ')' | '[' | ']' | '/' | '"' => 0.5,
        'M' => 1.0,
        'W' | '—' | '@' | '…' | '%' => 1.11,
        'O' | 'Q' | 'D' | 'H' | 'N' | 'G' | 'U' | '&' => 0.86,
        'E' | 'F' | 'L' | 'T' | 'Y' | 'Z' | 'S' | '0'..='9' => 0.73,
        '\u{0000}'..='\u{02ff}' => 0.8,
        '\u{0370}'..='\u{058f}' => 0.9,
        '\u{0590}'..='\u{08ff}' => 0.75,
        _ if is_cjk(first) => 1.02,
        '\u{0900}'..='\u{10ff}' => 0.9,
        '\u{1f000}'.. => 1.4,
        _ => 1.0,
    }
}

fn is_ideographic(letter: &str) -> bool {
    letter.chars().next().is_some_and(is_cjk)
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a letter is written from right to left; nothing for digits and marks.
fn strong_direction(c: char) -> Option<bool> {
    let right_to_left = matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}');
    c.is_alphabetic().then_some(right_to_left)
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
            &"W".repeat(255),
            &"word ".repeat(51),
            &"頭".repeat(255),
            &"👩‍🚀".repeat(60),
            "ﷺ",
            "e\u{301}",
        ] {
            let lettering = Lettering::set(title);
            assert!(lettering.top() > 120.0, "{title}: {}", lettering.top());
            for line in &lettering.lines {
                let width: f32 = line.graphemes(true).map(width).sum();
                assert!(width * lettering.size <= LINE + 0.1, "{line}");
            }
        }
    }

    #[test]
    fn a_title_that_is_cut_says_so() {
        assert!(
            lines(&"Donaudampfschiff".repeat(16))
                .last()
                .unwrap()
                .ends_with('…')
        );
    }

    #[test]
    fn right_to_left_titles_begin_at_the_right() {
        assert!(Lettering::set("جدایی نادر از سیمین").right_to_left);
        assert!(Lettering::set("12 ימים").right_to_left);
        assert!(!Lettering::set("8½").right_to_left);
        assert!(!Lettering::set("Alien").right_to_left);
    }

    #[test]
    fn what_cannot_be_printed_is_left_out() {
        assert_eq!(printable(" a\u{0}b\n c\u{202e}d\u{ffff} "), "a b cd");
    }
}
