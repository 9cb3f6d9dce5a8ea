//! Whether a text has characters that show: a title of spaces and format characters is none.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup},
};

/// Characters that leave a blank although Unicode counts them as letters or symbols.
const BLANKS: [char; 4] = ['\u{2800}', '\u{1d159}', '\u{13441}', '\u{13442}'];

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
