//! Where a long word may be broken: a soft hyphen shows only where a line ends there. Browsers that have no dictionary
//! (or that do not know the language of a title) break a word that is too long anywhere, and without a hyphen.
//!
//! Words are parted by the sounds of their letters, which is right for most European languages most of the time. Scripts
//! whose words are not parted by hyphens are left alone.

const SOFT_HYPHEN: char = '\u{ad}';
/// Shorter words fit into a line wherever films are listed.
const LONG_WORD: usize = 12;
/// How many letters stay together at the beginning and at the end of a word.
const KEPT: usize = 3;
/// How many letters may follow each other without a place to break them.
const MOST: usize = 8;
const VOWELS: &str = "aeiouyáàâäãåāăąæéèêëēėęěíìîïīįóòôöõøōőœúùûüūůűųýÿ\
    αεηιουωάέήίόύώϊϋΐΰаеёиоуыэюяіїєў";
/// Two letters for one sound.
const PAIRS: [&str; 15] = [
    "ch", "ck", "sh", "th", "ph", "gh", "wh", "qu", "bl", "br", "cl", "cr", "dr", "pr", "tr",
];

/// The text with soft hyphens in its long words.
pub(super) fn soften(text: &str) -> String {
    let mut softened = String::with_capacity(text.len());
    let mut word: Vec<char> = Vec::new();
    for c in text.chars() {
        if is_letter(c) {
            word.push(c);
        } else {
            finish(&mut word, &mut softened);
            softened.push(c);
        }
    }
    finish(&mut word, &mut softened);
    softened
}

fn finish(word: &mut Vec<char>, softened: &mut String) {
    let sounds: Vec<char> = word.iter().map(|letter| small(*letter)).collect();
    let is_long = word.len() >= LONG_WORD;
    let mut since = 0;
    for (at, letter) in word.drain(..).enumerate() {
        let is_inside = at >= KEPT && at + KEPT <= sounds.len();
        let is_place = parts(&sounds, at) || since >= MOST;
        if is_long && is_inside && is_place && since >= 2 && !is_mark(letter) {
            softened.push(SOFT_HYPHEN);
            since = 0;
        }
        softened.push(letter);
        since += 1;
    }
}

/// Whether a word may be parted before the letter at this place: a consonant, or two that are one sound, and a vowel
/// begin the rest.
fn parts(sounds: &[char], at: usize) -> bool {
    let sound = |at: usize| sounds.get(at).copied().unwrap_or(' ');
    let is_pair = |at: usize| {
        let pair = [sound(at), sound(at + 1)];
        PAIRS.iter().any(|known| known.chars().eq(pair))
    };
    if is_vowel(sound(at)) || (at > 0 && is_pair(at - 1)) {
        return false;
    }
    let vowel = if is_pair(at) { at + 2 } else { at + 1 };
    let has_vowel_before = sounds.iter().take(at).any(|sound| is_vowel(*sound));
    is_vowel(sound(vowel)) && has_vowel_before
}

fn is_vowel(c: char) -> bool {
    VOWELS.contains(c)
}

/// A letter of a script whose words are parted by hyphens, or an accent on it.
fn is_letter(c: char) -> bool {
    // Latin, Greek, Cyrillic and Armenian; Latin and Greek with more accents.
    let is_known = matches!(c, '\0'..='\u{58f}' | '\u{1e00}'..='\u{1fff}');
    is_mark(c) || (is_known && c.is_alphabetic())
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

fn small(c: char) -> char {
    let mut small = c.to_lowercase();
    match (small.next(), small.next()) {
        (Some(small), None) => small,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_may_be_parted_between_syllables() {
        for (text, parted) in [
            ("Superintelligence", "Supe-rin-tel-li-gence"),
            ("Indestructible", "Indes-truc-ti-ble"),
        ] {
            let softened = soften(text).replace(SOFT_HYPHEN, "-");
            assert_eq!(softened, parted);
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        for text in [
            "",
            "Heat",
            "The Shawshank Redemption",
            "Spider-Man: No Way Home",
            "千と千尋の神隠し",
            "http://1234567890123456789",
            "ภาพยนตร์ไทยเรื่องยาว",
            "مستشفىالأمراضالعقلية",
        ] {
            assert_eq!(soften(text), text);
        }
        for text in [
            "Достопримечательность",
            "Rindfleischetikettierung",
            "e\u{301}".repeat(20).as_str(),
        ] {
            let softened = soften(text);
            assert!(softened.contains(SOFT_HYPHEN), "{softened}");
            assert_eq!(softened.replace(SOFT_HYPHEN, ""), text);
        }
    }

    #[test]
    fn no_part_of_a_long_word_is_long() {
        for word in [
            "Mxyzptlkqwrtpsdfghjklmnbvcx",
            "Aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "Supercalifragilisticexpialidocious",
        ] {
            let softened = soften(word);
            for part in softened.split(SOFT_HYPHEN) {
                let letters = part.chars().count();
                assert!((2..=MOST + KEPT).contains(&letters), "{softened}");
            }
        }
    }
}
