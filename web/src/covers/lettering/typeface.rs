//! What is known of a typeface that is not known: how wide and how high letters are at most.
//!
//! A cover is shown in the typeface of the viewer's system, so these figures go by a wide and bold
//! one (DejaVu Sans Bold, Noto Sans Bold for other scripts), rather too much than too little.

use unicode_segmentation::UnicodeSegmentation;

/// How far letters reach from the line they stand on, in ems.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    pub up: f32,
    pub down: f32,
}

impl Reach {
    pub(super) fn of(text: &str) -> Self {
        let capitals = Self {
            up: 0.76,
            down: 0.0,
        };
        text.graphemes(true).fold(capitals, |most, letter| {
            let this = reach(letter);
            Self {
                up: most.up.max(this.up),
                down: most.down.max(this.down),
            }
        })
    }
}

fn reach(letter: &str) -> Reach {
    let accents = letter.chars().filter(|c| is_accent(*c)).count() as f32;
    let (up, down) = match letter.chars().next().unwrap_or(' ') {
        'g' | 'j' | 'p' | 'q' | 'y' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '@' | '/' | '_' => {
            (0.76, 0.24)
        }
        'Q' | ',' | ';' => (0.76, 0.2),
        '\u{0000}'..='\u{00bf}' => (0.76, 0.0),
        'Ç' | 'Ş' | 'Ţ' | 'Ą' | 'Ę' | 'Į' | 'Ų' => (0.76, 0.25),
        'Æ' | 'Ø' | 'Œ' | 'Ł' => (0.76, 0.0),
        c @ '\u{00c0}'..='\u{024f}' if c.is_uppercase() => (1.0, 0.0),
        '\u{00c0}'..='\u{024f}' => (1.0, 0.25),
        '\u{0250}'..='\u{036f}' => (1.1, 0.3),
        '\u{0370}'..='\u{05ff}' => (0.95, 0.26),
        '\u{0600}'..='\u{08ff}' => (0.85, 0.45),
        '\u{0900}'..='\u{0eff}' => (0.95, 0.35),
        '\u{0f00}'..='\u{109f}' => (1.05, 0.52),
        '\u{10a0}'..='\u{1dff}' => (0.98, 0.3),
        '\u{1e00}'..='\u{1fff}' => (1.1, 0.3),
        '\u{2010}'..='\u{2027}' => (0.76, 0.0),
        '\u{2000}'..='\u{2bff}' => (0.9, 0.25),
        c if is_cjk(c) => (0.9, 0.13),
        '\u{fb50}'..='\u{fdff}' => (1.15, 0.55),
        _ => (1.0, 0.3),
    };
    Reach {
        up: up + 0.24 * accents,
        down: down + 0.1 * accents,
    }
}

/// The width of a text in ems.
pub(super) fn width(text: &str) -> f32 {
    text.graphemes(true).map(letter_width).sum()
}

/// The width of a letter with its marks in ems.
pub(super) fn letter_width(letter: &str) -> f32 {
    let mut chars = letter.chars();
    let Some(base) = chars.next() else {
        return 0.0;
    };
    base_width(base) + chars.map(mark_width).sum::<f32>()
}

fn base_width(base: char) -> f32 {
    match base {
        ' ' => 0.35,
        'I' | 'J' | 'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '’' | '‘' | '!' | '|'
        | '·' => 0.4,
        '-' | '(' | ')' | '[' | ']' | '/' | '"' | '“' | '”' | 'f' | 'r' | 't' => 0.52,
        'M' => 1.0,
        'm' => 1.05,
        'w' => 0.93,
        'W' | 'Ŵ' | '—' | '@' | '…' | '%' | 'Æ' | 'Œ' | 'æ' | 'œ' | '½' | '¼' | '¾' => {
            1.11
        }
        'O' | 'Q' | 'D' | 'H' | 'N' | 'G' | 'U' | '&' => 0.86,
        'E' | 'F' | 'L' | 'T' | 'Y' | 'Z' | 'S' | '0'..='9' | 'a'..='z' => 0.73,
        '\u{01c4}'..='\u{01cc}' | '\u{01f1}'..='\u{01f3}' => 1.45,
        '\u{0000}'..='\u{02ff}' => 0.8,
        'Ж' | 'М' | 'Ф' | 'Ш' | 'Щ' | 'Ы' | 'Ю' | 'Љ' | 'Њ' => 1.2,
        'А' | 'Б' | 'В' | 'Г' | 'Е' | 'З' | 'К' | 'Л' | 'Р' | 'С' | 'Т' | 'У' | 'Х' | 'Ч' | 'Ь'
        | 'Э' | 'Я' => 0.79,
        '\u{0370}'..='\u{058f}' if base.is_lowercase() => 0.78,
        '\u{0370}'..='\u{058f}' => 0.9,
        '\u{0590}'..='\u{08ff}' => 0.78,
        '\u{0900}'..='\u{0b7f}' => 0.85,
        '\u{0b80}'..='\u{0dff}' => 1.1,
        '\u{0e00}'..='\u{0fff}' => 0.7,
        '\u{1000}'..='\u{10ff}' | '\u{1e00}'..='\u{1fff}' => 0.9,
        '\u{1f000}'.. | '\u{2190}'..='\u{2bff}' => 1.32,
        '\u{2150}'..='\u{218f}' => 1.25,
        '\u{ff61}'..='\u{ff9f}' => 0.6,
        c if is_cjk(c) => 1.02,
        '\u{fdfd}' => 10.0,
        '\u{fdf0}'..='\u{fdff}' => 2.4,
        '\u{fb50}'..='\u{fdef}' => 1.3,
        _ => 1.0,
    }
}

/// What a mark adds to the width of the letter that it belongs to: only those of Indic and
/// neighbouring scripts stand beside their letter.
fn mark_width(mark: char) -> f32 {
    match mark {
        '\u{0900}'..='\u{0b7f}' => 0.42,
        '\u{0b80}'..='\u{0dff}' | '\u{0e33}' | '\u{0eb3}' | '\u{1000}'..='\u{109f}' => 0.6,
        '\u{1780}'..='\u{17ff}' => 0.35,
        _ => 0.0,
    }
}

/// The title as it is set: in capitals if that changes no letter, and otherwise as it was typed.
///
/// Only Latin and Cyrillic titles are set in capitals, and only if every capital has one lower-case
/// letter, the one that was typed: not ŉ, ﬁ or ſ. The capital of ß is SS. In a title with letters of Turkish
/// the capital of i is İ. In Greek π would look like a door and accents move.
pub(super) fn capitals(title: &str) -> String {
    if title.chars().all(has_one_capital) {
        let is_turkish = title.contains(['ı', 'İ', 'ğ', 'Ğ', 'ş', 'Ş']);
        if is_turkish {
            title.replace('i', "İ").to_uppercase()
        } else {
            title.to_uppercase()
        }
    } else {
        title.to_owned()
    }
}

fn has_one_capital(c: char) -> bool {
    if !c.is_lowercase() || matches!(c, 'ı' | 'ß') {
        return true;
    }
    let is_latin_or_cyrillic =
        matches!(c, '\u{0000}'..='\u{024f}' | '\u{0400}'..='\u{052f}' | '\u{1e00}'..='\u{1eff}');
    let mut capital = c.to_uppercase();
    let comes_back = capital
        .next()
        .is_some_and(|capital| capital.to_lowercase().eq([c]));
    is_latin_or_cyrillic && comes_back && capital.next().is_none()
}

/// A mark above or below a letter that can be stacked without end.
pub(super) fn is_accent(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}' | '\u{0483}'..='\u{0489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Chinese and Japanese characters, between which a line may end, and Korean ones.
pub(super) fn is_cjk(c: char) -> bool {
    is_hangul(c)
        || matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

/// Korean, which has spaces between its words.
pub(super) fn is_hangul(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}')
}

/// Whether a letter is written from right to left; nothing for digits and marks.
pub(super) fn strong_direction(c: char) -> Option<bool> {
    let right_to_left = matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}');
    c.is_alphabetic().then_some(right_to_left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_set_in_capitals() {
        assert_eq!(capitals("Amélie"), "AMÉLIE");
        assert_eq!(capitals("Не горюй!"), "НЕ ГОРЮЙ!");
        assert_eq!(capitals("Ángel’s 8½"), "ÁNGEL’S 8½");
        assert_eq!(capitals("Ǆungla"), "ǄUNGLA");
        assert_eq!(capitals("千と千尋"), "千と千尋");
        assert_eq!(capitals("جدایی"), "جدایی");
        assert_eq!(capitals("गाइड"), "गाइड");
        assert_eq!(capitals("🎬 Take"), "🎬 TAKE");
    }

    #[test]
    fn turkish_and_german_titles_are_set_in_their_own_capitals() {
        assert_eq!(capitals("İstanbul'da bir gün"), "İSTANBUL'DA BİR GÜN");
        assert_eq!(capitals("ısız Adam"), "ISIZ ADAM");
        assert_eq!(capitals("Kış uykusu"), "KIŞ UYKUSU");
        assert_eq!(capitals("Ağrı"), "AĞRI");
        assert_eq!(capitals("Şehir"), "ŞEHİR");
        assert_eq!(capitals("Die straße"), "DIE STRASSE");
    }

    #[test]
    fn capitals_change_no_letter() {
        for title in [
            "π",
            "π: Faith in Chaos",
            "πr²",
            "Ὁ θίασος",
            "Οδυσσεύς",
            "ŉ Man",
            "ﬁlm",
            "ǰ",
            "ſong",
            "10 µm",
            "გზა",
            "Նռան գույնը",
            "ꭰ",
        ] {
            assert_eq!(capitals(title), title);
        }
    }

    #[test]
    fn accents_and_other_scripts_reach_further_than_capitals() {
        assert_eq!(Reach::of("ALIEN"), Reach::of("ÆON’S 42 –"));
        assert!(Reach::of("ÉTÉ").up > Reach::of("ETE").up);
        assert!(Reach::of("E\u{301}").up > Reach::of("E").up);
        assert!(Reach::of("Pigs").down > Reach::of("PIGS").down);
        assert!(Reach::of("मुग़ल").down > 0.3);
    }

    #[test]
    fn marks_widen_a_letter_only_where_they_stand_beside_it() {
        assert_eq!(width("e\u{301}"), width("e"));
        assert_eq!(width("👩‍🚀"), width("👩"));
        assert!(width("நா") > width("ந"));
    }
}
