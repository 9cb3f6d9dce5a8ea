//! Case, width and accents: which differences between two spellings do not count.
//!
//! A mark is dropped only where readers take the letter with it and the letter without it for the same letter: accents
//! of Latin and Greek, stress marks of Cyrillic, points of Hebrew, short vowels of Arabic. A mark that makes another
//! letter stays: `й` is not `и`, `が` is not `か`, and vowel signs of Indic scripts are letters.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

/// One width and one form for each character, without invisible characters, with straight apostrophes; case and accents
/// stay.
pub(super) fn unified(text: &str) -> String {
    // A fraction does not run into the number before it: 8½ is 8 1/2.
    let spaced = text
        .chars()
        .flat_map(|c| is_fraction(c).then_some(' ').into_iter().chain([c]));
    spaced
        .nfkc()
        .filter(|&c| !is_invisible(c))
        .map(|c| match c {
            '’' | '‘' | '‛' | 'ʼ' | 'ʻ' | 'ʹ' | '`' => '\'',
            c => c,
        })
        .collect()
}

/// A unified text in lower case; accents stay.
pub(super) fn lowered(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    lower
        .nfc()
        .map(|c| if c == 'ς' { 'σ' } else { c })
        .collect()
}

/// A unified text in lower case, without the marks that do not count.
pub(super) fn folded(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.nfc().flat_map(char::to_lowercase) {
        if c.is_ascii() {
            plain.push(c);
        } else {
            fold(c, &mut plain);
        }
    }
    plain.nfc().collect()
}

fn fold(c: char, plain: &mut String) {
    match c {
        'ß' => plain.push_str("ss"),
        'æ' => plain.push_str("ae"),
        'œ' => plain.push_str("oe"),
        'þ' => plain.push_str("th"),
        'ø' => plain.push('o'),
        'ł' => plain.push('l'),
        'đ' | 'ð' => plain.push('d'),
        'ħ' => plain.push('h'),
        'ı' => plain.push('i'),
        'ς' => plain.push('σ'),
        // Russian texts write е for ё, and mean it.
        'ё' => plain.push('е'),
        // Cyrillic vowels that carry a stress mark in one character.
        'ѐ' => plain.push('е'),
        'ѝ' => plain.push('и'),
        'آ' | 'أ' | 'إ' | 'ٱ' => plain.push('ا'),
        c if is_dropped(c) => {}
        c if is_latin_or_greek(c) => {
            decompose_canonical(c, |part| {
                if !is_combining_mark(part) {
                    fold_part(part, plain);
                }
            });
        }
        c => plain.push(c),
    }
}

/// A letter of which the accents are gone already.
fn fold_part(c: char, plain: &mut String) {
    match c {
        'ø' => plain.push('o'),
        'æ' => plain.push_str("ae"),
        c => plain.push(c),
    }
}

fn is_latin_or_greek(c: char) -> bool {
    matches!(c, '\u{C0}'..='\u{24F}' | '\u{370}'..='\u{3FF}' | '\u{1E00}'..='\u{1FFF}')
}

fn is_fraction(c: char) -> bool {
    matches!(c, '¼'..='¾' | '⅐'..='⅟' | '↉')
}

/// Characters that are not seen, and the stretching of Arabic.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{640}' | '\u{200C}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

/// Marks of their own that readers do without. Those that make another letter are part of it after composition.
fn is_dropped(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
        | '\u{591}'..='\u{5BD}' | '\u{5BF}' | '\u{5C1}' | '\u{5C2}' | '\u{5C4}' | '\u{5C5}' | '\u{5C7}'
        | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{652}' | '\u{656}'..='\u{65F}' | '\u{670}'
        | '\u{6D6}'..='\u{6DC}' | '\u{6DF}'..='\u{6E8}' | '\u{6EA}'..='\u{6ED}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> String {
        folded(&unified(text))
    }

    #[track_caller]
    fn same(expected: &str, texts: &[&str]) {
        for text in texts {
            assert_eq!(fold(text), expected, "{text:?}");
        }
    }

    #[track_caller]
    fn different(texts: &[&str]) {
        for (i, one) in texts.iter().enumerate() {
            for other in texts.iter().skip(i + 1) {
                assert_ne!(fold(one), fold(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn accents_of_latin_and_greek_do_not_count() {
        same("amelie", &["Amélie", "Ame\u{301}lie", "AMÉLIE"]);
        same("strasse", &["Straße", "STRASSE", "STRAẞE"]);
        same("bjorn", &["Bjørn", "Björn"]);
        same("orsted", &["Ǿrsted", "Ørsted"]);
        same("lodz", &["Łódź", "lodz"]);
        same("caesar", &["Cæsar", "Cǽsar"]);
        same("istanbul", &["İstanbul", "Istanbul", "ıstanbul"]);
        same("nguyen", &["Nguyễn", "Nguye\u{302}\u{303}n"]);
        same("οδοσ", &["Οδός", "ΟΔΟΣ", "οδος"]);
        same("full film", &["ｆｕｌｌ ﬁlm"]);
        same(
            "superman",
            &["super\u{AD}man", "super\u{200D}man", "\u{FEFF}superman"],
        );
    }

    #[test]
    fn a_mark_that_makes_another_letter_stays() {
        different(&["мой", "мои"]);
        different(&["їх", "іх"]);
        different(&["ўсе", "усе"]);
        different(&["ќе", "ке"]);
        different(&["か", "が"]);
        different(&["は", "ば", "ぱ"]);
        different(&["हिन्दी", "हनद"]);
        different(&["कमल", "क़मल"]);
        different(&["กา", "ก้า"]);
        different(&["가", "각", "나"]);
        different(&["ؤ", "و"]);
    }

    #[test]
    fn one_letter_is_one_letter_however_it_is_encoded() {
        same("мой", &["мой", "мои\u{306}", "МОЙ"]);
        same("ежик", &["ёжик", "Ежик", "е\u{308}жик"]);
        same("замок", &["за\u{301}мок", "замок"]);
        same("ガ", &["ガ", "カ\u{3099}", "ｶﾞ"]);
        same(
            "기생충",
            &[
                "기생충",
                "\u{1100}\u{1175}\u{1109}\u{1162}\u{11BC}\u{110E}\u{116E}\u{11BC}",
            ],
        );
        same("שלום", &["שָׁלוֹם"]);
        same("محمد", &["مُحَمَّد"]);
        same("احمد", &["أحمد", "ا\u{654}حمد"]);
        same("2001", &["２００１", "²⁰⁰¹"]);
    }
}
