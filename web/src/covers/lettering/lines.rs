//! Where the lines of a title end.
//!
//! Lines end at spaces, after the hyphens of long words and between Chinese and Japanese
//! characters. A word is broken only if it is too wide for a line at the smallest size.

use unicode_segmentation::UnicodeSegmentation;

use super::typeface::{is_cjk, is_hangul, letter_width, width};

/// A word of more letters than this may be parted at its hyphens: not Spider-Man.
const LONG_WORD: usize = 14;
const SPACE: f32 = 0.35;
const HYPHEN: f32 = 0.52;
/// Characters that no line begins with.
const CLOSING: &str = "、。，．！？」』）】〉》・ー…’”：；々％ぁぃぅぇぉっゃゅょァィゥェォッャュョ";
/// Characters that no line ends with.
const OPENING: &str = "「『（【〈《‘“";

/// What stays together on a line.
#[derive(Debug)]
pub(super) struct Piece {
    text: String,
    /// In ems.
    width: f32,
    joint: Joint,
}

/// What is between a piece and the one before when both stand on one line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Joint {
    Space,
    Nothing,
    /// Nothing, but a line that ends here says that the word goes on.
    Word,
}

/// Splits a text where a line may end. No piece of several letters is wider than `widest` ems.
pub(super) fn pieces(text: &str, widest: f32) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for word in text.split_whitespace() {
        let is_long = word.chars().filter(|c| c.is_alphanumeric()).count() > LONG_WORD;
        let ends = |before: char, after: char| {
            (is_long && matches!(before, '-' | '–' | '—' | '/'))
                || ((is_ideograph(before) || is_ideograph(after))
                    && !CLOSING.contains(after)
                    && !OPENING.contains(before))
        };
        let mut joint = Joint::Space;
        for part in split(word, ends) {
            if width(&part) <= widest {
                push(&mut pieces, part, joint);
            } else {
                // An address or a word without end: at its signs if it has some, or anywhere.
                for part in split(&part, |before, _| !before.is_alphanumeric()) {
                    let fits = width(&part) <= widest;
                    let letters = split(&part, |_, _| !fits);
                    for (number, letters) in letters.into_iter().enumerate() {
                        let within = if number == 0 { joint } else { Joint::Word };
                        push(&mut pieces, letters, within);
                    }
                    joint = Joint::Nothing;
                }
            }
            joint = Joint::Nothing;
        }
    }
    pieces
}

fn push(pieces: &mut Vec<Piece>, text: String, joint: Joint) {
    let width = width(&text);
    pieces.push(Piece { text, width, joint });
}

/// Splits a word between those letters of which `ends` is true.
fn split(word: &str, ends: impl Fn(char, char) -> bool) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for letter in word.graphemes(true) {
        let after = letter.chars().next();
        match parts.last_mut() {
            Some(part)
                if !part
                    .chars()
                    .next_back()
                    .zip(after)
                    .is_some_and(|(before, after)| ends(before, after)) =>
            {
                part.push_str(letter);
            }
            _ => parts.push(letter.to_owned()),
        }
    }
    parts
}

/// Chinese and Japanese; Korean has spaces.
fn is_ideograph(c: char) -> bool {
    is_cjk(c) && !is_hangul(c)
}

/// Whether a word was broken.
pub(super) fn is_broken(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| piece.joint == Joint::Word)
}

/// How many lines of `limit` ems the pieces take; nothing if one alone is too wide.
pub(super) fn count(pieces: &[Piece], limit: f32) -> Option<usize> {
    let (mut lines, mut used) = (0, 0.0);
    for piece in pieces {
        if piece.width > limit {
            return None;
        }
        match advance(piece, used, limit) {
            Some(longer) if lines > 0 => used = longer,
            _ => {
                lines += 1;
                used = piece.width;
            }
        }
    }
    Some(lines)
}

/// Fills lines of `limit` ems one after the other.
pub(super) fn fill(pieces: &[Piece], limit: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0.0;
    for piece in pieces {
        match (lines.last_mut(), advance(piece, used, limit)) {
            (Some(line), Some(longer)) => {
                if piece.joint == Joint::Space {
                    line.push(' ');
                }
                line.push_str(&piece.text);
                used = longer;
            }
            (last, _) => {
                if let Some(line) = last
                    && piece.joint == Joint::Word
                    && has_hyphens(line, &piece.text)
                {
                    line.push('-');
                }
                lines.push(piece.text.clone());
                used = piece.width;
            }
        }
    }
    lines
}

/// How long a line of `used` ems is with one more piece, if that fits.
fn advance(piece: &Piece, used: f32, limit: f32) -> Option<f32> {
    let (before, after) = match piece.joint {
        Joint::Space => (SPACE, 0.0),
        Joint::Nothing => (0.0, 0.0),
        Joint::Word => (0.0, HYPHEN),
    };
    let longer = used + before + piece.width;
    (longer + after <= limit).then_some(longer)
}

/// Whether the word is of a script that has hyphens, and goes on with a letter.
fn has_hyphens(line: &str, next: &str) -> bool {
    let is_letter = |c: char| c.is_alphabetic() && c < '\u{0590}';
    line.chars().next_back().is_some_and(is_letter) && next.chars().next().is_some_and(is_letter)
}

/// As few lines as `limit` allows, none much shorter than the others.
pub(super) fn fill_evenly(pieces: &[Piece], limit: f32) -> Vec<String> {
    let fewest = count(pieces, limit);
    let (mut tight, mut fits) = (0.0, limit);
    for _ in 0..8 {
        let middle = (tight + fits) / 2.0;
        match count(pieces, middle) {
            Some(lines) if Some(lines) == fewest => fits = middle,
            _ => tight = middle,
        }
    }
    fill(pieces, fits)
}

/// Shortens `line` until it has at most `limit` ems with three dots at its end.
pub(super) fn cut(line: &mut String, limit: f32) {
    let mut left = limit - width("…");
    let kept: String = line
        .graphemes(true)
        .take_while(|letter| {
            left -= letter_width(letter);
            left >= 0.0
        })
        .collect();
    *line = format!("{}…", kept.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, limit: f32) -> Vec<String> {
        fill(&pieces(text, 21.0), limit)
    }

    #[test]
    fn words_stay_whole_and_long_ones_part_at_their_hyphens() {
        assert_eq!(lines("WALL-E AGAIN", 5.0), ["WALL-E", "AGAIN"]);
        assert_eq!(count(&pieces("SPIDER-MAN:", 21.0), 5.0), None);
        assert_eq!(count(&pieces("WOMAN-PROOF", 21.0), 6.0), None);
        assert_eq!(lines("CATCH-AS-CATCH-CAN", 7.0), ["CATCH-AS-", "CATCH-CAN"]);
    }

    #[test]
    fn a_word_too_wide_for_any_size_is_broken_with_a_hyphen() {
        let word = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch";
        let lines = lines(word, 15.0);
        assert!(lines.len() > 1, "{lines:?}");
        let (last, others) = lines.split_last().unwrap();
        assert!(others.iter().all(|line| line.ends_with('-')), "{lines:?}");
        assert!(!last.ends_with('-'));
        assert_eq!(lines.concat().replace('-', ""), word);
        assert!(
            lines.iter().all(|line| width(line) <= 15.0),
            "{lines:?} fit with their hyphens"
        );
    }

    #[test]
    fn an_address_breaks_at_its_signs() {
        let lines = lines(
            "span.mw-parser-output{white-space:nowrap}.den{font-size:80%}",
            15.0,
        );
        assert!(
            lines
                .iter()
                .all(|line| line.ends_with(|c: char| !c.is_alphanumeric())),
            "{lines:?}"
        );
    }

    #[test]
    fn chinese_and_japanese_break_between_characters_but_not_before_a_full_stop() {
        assert_eq!(lines("千と千尋の神隠し", 5.0), ["千と千尋", "の神隠し"]);
        assert_eq!(lines("君の名は。", 4.2), ["君の名", "は。"]);
        assert_eq!(lines("あの「夏」", 3.2), ["あの", "「夏」"]);
    }

    #[test]
    fn korean_breaks_at_its_spaces() {
        assert_eq!(lines("한국 영화의 제목", 5.0), ["한국", "영화의", "제목"]);
    }

    #[test]
    fn what_is_cut_ends_in_dots_and_fits() {
        let mut line = "A VERY LONG LINE".to_owned();
        cut(&mut line, 6.0);
        assert_eq!(line, "A VERY…");
    }
}
