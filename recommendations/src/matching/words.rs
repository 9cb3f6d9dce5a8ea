//! The words of a text, normalized so that what a person holds for the same word is the same word.
//!
//! A text is cut at Unicode word boundaries. A word is decomposed (NFKD), loses its diacritics, is case-folded, loses a
//! possessive `'s` and its other apostrophes, and is stemmed as English. Punctuation separates words (`sci-fi` is two),
//! except the points of an acronym (`F.B.I.` is `fbi`) and the commas in a number (`10,000` is `10000`). Films,
//! keywords of users and keywords sent by old catalogs all come through here.

use std::cell::RefCell;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::stems::Stems;
use super::word::{Letters, Word};

thread_local! {
    static STEMS: RefCell<Stems> = RefCell::new(Stems::new());
}

/// The normalized words of a text, in order.
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::with_capacity(text.len() / 6 + 1);
    append_words(text, &mut words);
    words
}

/// Appends the normalized words of a text, in order.
pub(super) fn append_words(text: &str, words: &mut Vec<Word>) {
    STEMS.with_borrow_mut(|stems| {
        // No word reaches over ASCII white space, and most pieces between it need none of Unicode's rules.
        for piece in text.split_ascii_whitespace() {
            let before = words.len();
            if append_plain(piece.as_bytes(), stems, words).is_none() {
                words.truncate(before);
                append_any(piece, stems, words);
            }
        }
    });
}

/// Appends the words of a piece in which ASCII letters are all that counts; none when it needs more than that.
fn append_plain(piece: &[u8], stems: &mut Stems, words: &mut Vec<Word>) -> Option<()> {
    let mut letters = Letters::default();
    let mut previous = b' ';
    let mut rest = piece;
    while let [byte, after @ ..] = rest {
        rest = after;
        if byte.is_ascii_alphanumeric() {
            letters.push(byte.to_ascii_lowercase());
        } else if !byte.is_ascii() {
            return None;
        } else {
            let follows_word = previous.is_ascii_alphanumeric();
            let inside = follows_word && starts_with_letter(after);
            match (byte, after) {
                (b'\'', [b's' | b'S', beyond @ ..])
                    if (follows_word || previous == b'.') && !starts_with_letter(beyond) =>
                {
                    rest = beyond;
                    previous = b's';
                    continue;
                }
                (b'\'', _) if inside => {}
                (b'.' | b',', _) if inside => return None,
                _ => end_word(&mut letters, stems, words)?,
            }
        }
        previous = *byte;
    }
    end_word(&mut letters, stems, words)
}

fn starts_with_letter(piece: &[u8]) -> bool {
    piece.first().is_some_and(u8::is_ascii_alphanumeric)
}

fn end_word(letters: &mut Letters, stems: &mut Stems, words: &mut Vec<Word>) -> Option<()> {
    if !letters.is_empty() {
        words.push(stems.of_short(std::mem::take(letters))?);
    }
    Some(())
}

/// Appends the words of any piece of text.
fn append_any(piece: &str, stems: &Stems, words: &mut Vec<Word>) {
    let plain = without_apostrophes(&folded(piece));
    for word in plain.unicode_words() {
        if is_acronym(word) {
            words.push(stems.of(&word.replace('.', "")));
            continue;
        }
        for part in word.split(|c| !is_part_of_word(c) && c != ',') {
            let part = part.replace(',', "");
            if part.contains(char::is_alphanumeric) {
                words.push(stems.of(&part));
            }
        }
    }
}

/// Decomposed, without diacritics and invisible characters, in lower case.
fn folded(piece: &str) -> String {
    let mut text = String::with_capacity(piece.len());
    // A fraction does not run into the number before it: 8½ is 8 1/2.
    let spaced = piece
        .chars()
        .flat_map(|c| is_fraction(c).then_some(' ').into_iter().chain([c]));
    for c in spaced
        .nfkd()
        .filter(|&c| !is_dropped(c))
        .flat_map(char::to_lowercase)
    {
        match c {
            'ß' => text.push_str("ss"),
            'æ' => text.push_str("ae"),
            'œ' => text.push_str("oe"),
            'þ' => text.push_str("th"),
            'ø' => text.push('o'),
            'ł' => text.push('l'),
            'đ' | 'ð' => text.push('d'),
            'ħ' => text.push('h'),
            'ı' => text.push('i'),
            'ς' => text.push('σ'),
            '’' | '‘' | '‛' | 'ʼ' | 'ʻ' | 'ʹ' | '`' => text.push('\''),
            c => text.push(c),
        }
    }
    text
}

fn is_fraction(c: char) -> bool {
    matches!(c, '¼'..='¾' | '⅐'..='⅟' | '↉')
}

/// Diacritics of the scripts that are read without them, and characters that are not seen.
fn is_dropped(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{640}' | '\u{200C}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
        | '\u{591}'..='\u{5BD}' | '\u{5BF}' | '\u{5C1}' | '\u{5C2}' | '\u{5C4}' | '\u{5C5}' | '\u{5C7}'
        | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{6D6}'..='\u{6DC}' | '\u{6DF}'..='\u{6E8}'
        | '\u{6EA}'..='\u{6ED}')
}

/// Without the apostrophes inside words, and without a possessive `'s`, also that of an acronym.
fn without_apostrophes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut previous = ' ';
    while let Some(c) = rest.next() {
        let mut ahead = rest.clone();
        if c == '\''
            && let Some(next) = ahead.next()
        {
            let follows_word = is_part_of_word(previous);
            let ends_there = !ahead.next().is_some_and(is_part_of_word);
            if (follows_word || previous == '.') && next == 's' && ends_there {
                rest.next();
                continue;
            }
            if follows_word && is_part_of_word(next) {
                continue;
            }
        }
        plain.push(c);
        previous = c;
    }
    plain
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Single letters with points between them.
fn is_acronym(word: &str) -> bool {
    word.contains('.')
        && word.split('.').all(|part| {
            let mut letters = part.chars();
            letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
        })
}

#[cfg(test)]
mod tests;
