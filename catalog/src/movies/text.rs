//! Text as people compare it: folded for comparisons, and checked for characters that show.
//!
//! SQL has no part in this: SQLite folds the case of A to Z only, and each MySQL collation has
//! rules of its own. Text is folded here, and databases compare the bytes of what was folded.

use icu_casemap::CaseMapper;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup},
};
use unicode_normalization::UnicodeNormalization;

/// Characters that leave a blank although Unicode counts them as letters or symbols.
const BLANKS: [char; 4] = ['\u{2800}', '\u{1d159}', '\u{13441}', '\u{13442}'];

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

/// Whether any character of the text shows. Spaces, format characters, and combining marks
/// without a letter do not.
pub(super) fn shows(text: &str) -> bool {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let categories = CodePointMapData::<GeneralCategory>::new();
    text.chars().any(|c| {
        let category = categories.get(c);
        // Characters that are not assigned yet, or privately, may show.
        let hidden = GeneralCategoryGroup::Mark.contains(category)
            || GeneralCategoryGroup::Separator.contains(category)
            || matches!(category, GeneralCategory::Control | GeneralCategory::Format);
        !hidden && !ignorable.contains(c) && !BLANKS.contains(&c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn text_shows_when_one_of_its_characters_does() {
        for text in [
            "M",
            "π",
            "!",
            "🎬",
            "é",
            "\u{200b}7",
            "…",
            "مرحبا",
            "ー",
            "〇",
        ] {
            assert!(shows(text), "{text:?}");
        }
        for text in [
            "",
            " \t\r\n",
            "\u{a0}\u{3000}\u{2003}",
            "\u{200b}",
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            "\u{ad}",
            "\u{202e}\u{2066}",
            "\u{301}\u{20dd}",
            "\u{fe0f}",
            "\u{3164}\u{115f}\u{1160}\u{ffa0}",
            "\u{2800}",
            "\u{e0020}\u{e007f}",
            "\u{180e}\u{34f}",
            "\u{0}\u{7f}",
            "\u{2028}\u{2029}",
        ] {
            assert!(!shows(text), "{text:?}");
        }
    }
}
