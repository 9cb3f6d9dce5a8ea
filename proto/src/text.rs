//! Text in the form in which it is compared.
//!
//! SQL has no part in this: SQLite folds the case of A to Z only, and each MySQL collation has
//! rules of its own. Text is folded here, and databases compare the bytes of what was folded.

use icu_casemap::CaseMapper;
use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Returns the text in the form in which two spellings of it are equal byte by byte: without
/// distinctions of case, of composed and decomposed letters, of white space, and without
/// characters that do not show.
pub fn fold(text: &str) -> String {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let decomposed: String = text.nfd().filter(|c| !ignorable.contains(*c)).collect();
    let folded = CaseMapper::new().fold_string(&decomposed);
    let words: Vec<&str> = folded.split_whitespace().collect();
    words.join(" ").nfc().collect()
}

/// Returns what a title has in common with others that people take for the same one: [`fold`]ed, without punctuation and
/// without accents of Latin letters, and with "&" read as "and".
pub fn title_key(title: &str) -> String {
    let folded = fold(title);
    let mut key = String::with_capacity(folded.len());
    let mut letter = ' ';
    for c in folded.nfd() {
        if is_combining_mark(c) {
            // Elsewhere a mark may make another letter: й is not и.
            if !letter.is_ascii() {
                key.push(c);
            }
            continue;
        }
        letter = c;
        match c {
            '&' => key.push_str(" and "),
            '\'' | '’' => {}
            c if c.is_alphanumeric() => key.push(c),
            _ => key.push(' '),
        }
    }
    let words: Vec<&str> = key.split_whitespace().collect();
    match words.is_empty() {
        // A title of signs alone.
        true => folded,
        false => words.join(" ").nfc().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_that_people_take_for_the_same_have_one_key() {
        for (one, other) in [
            ("Amélie", "AMELIE"),
            ("Fast & Furious", "Fast and Furious"),
            ("Tora! Tora! Tora!", "Tora Tora Tora"),
            ("Ocean’s Eleven", "Oceans Eleven"),
            ("Mission: Impossible", "Mission Impossible"),
            ("Spider-Man", "Spider Man"),
        ] {
            assert_eq!(title_key(one), title_key(other), "{one} {other}");
        }
        for (one, other) in [
            ("Мой", "Мои"),
            ("かき", "がき"),
            ("Alien", "Aliens"),
            ("M", ""),
            ("...", "!!!"),
        ] {
            assert_ne!(title_key(one), title_key(other), "{one} {other}");
        }
    }

    #[test]
    fn spellings_that_people_call_equal_are_folded_alike() {
        for (one, other) in [
            ("Драма", "ДРАМА"),
            ("ДЕТСКИЙ", "Детски\u{438}\u{306}"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
            ("Éclair", "e\u{301}CLAIR"),
            ("  Science\u{a0}\t Fiction ", "science fiction"),
            ("Noir\u{200b}", "noir"),
            ("ﬁlm", "FILM"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        for (one, other) in [("мой", "мои"), ("Sport", "Sports"), ("résumé", "resume")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn folding_again_changes_nothing() {
        for text in [
            "Straße",
            "ΐ",
            "İstanbul",
            "\u{1f80}",
            "A\u{345}\u{301}",
            "ŉ",
            "Ǆ",
        ] {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }
}
