//! What letters, points, signs and apostrophes say of a piece of text.

use unicode_normalization::char::is_combining_mark;

use crate::matching::folding::folded;

/// What a word is before an apostrophe that joins it to the next.
const ELISIONS: [&str; 16] = [
    "l", "d", "j", "c", "n", "s", "t", "qu", "un", "dell", "nell", "all", "sull", "dall", "quell",
    "sant",
];

pub(super) fn is_elided(text: &str) -> bool {
    ELISIONS
        .iter()
        .any(|elided| elided.eq_ignore_ascii_case(text))
}

/// Splits a text after its letters, digits, and the points, commas and apostrophes between these.
pub(super) fn chunk(text: &str) -> (&str, &str) {
    let mut chars = text.char_indices().peekable();
    while let Some((place, c)) = chars.next() {
        let joins = matches!(c, '.' | ',' | '\'');
        let inside = joins && chars.peek().is_some_and(|&(_, next)| is_part_of_word(next));
        if !is_part_of_word(c) && !inside {
            return text.split_at(place);
        }
    }
    (text, "")
}

/// The letters of an acronym with points: parts of one or two letters, at least one of them of one.
pub(super) fn acronym(chunk: &str) -> Option<String> {
    if !chunk.contains('.') {
        return None;
    }
    let mut letters = String::new();
    let mut single = false;
    for part in without_possessive(chunk).split('.') {
        let part = folded(part);
        let length = part.chars().count();
        if !(1..=2).contains(&length) || !part.chars().all(char::is_alphabetic) {
            return None;
        }
        single |= length == 1;
        letters.push_str(&part);
    }
    single.then_some(letters)
}

fn without_possessive(chunk: &str) -> &str {
    let without = chunk.strip_suffix("'s").or(chunk.strip_suffix("'S"));
    without.unwrap_or(chunk)
}

/// Abbreviations of more than one letter that are followed by further initials: Ph. D., B. Sc.
pub(super) const DEGREES: [&str; 5] = ["ph", "sc", "th", "ed", "ll"];

/// The sign that belongs to a word, and what follows it: that of `C++`, `A*`, `B-`, `Disney+`, `18+` and `100%`.
pub(super) fn sign_after<'t>(chunk: &str, after: &'t str) -> Option<(&'t str, &'t str)> {
    let sign = after.chars().next()?;
    let is_letter = || chunk.chars().all(char::is_alphabetic) && chunk.chars().nth(1).is_none();
    let belongs = match sign {
        '+' => chunk.chars().all(is_part_of_word),
        '#' | '*' | '-' => is_letter(),
        '%' | '°' => chunk.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    if !belongs {
        return None;
    }
    let rest = after.trim_start_matches(sign);
    let is_one = after.len() - rest.len() == sign.len_utf8();
    // C++11.
    let is_version = !is_one && rest.starts_with(|c: char| c.is_ascii_digit());
    let ends = !rest.starts_with(is_part_of_word) || is_version;
    ((is_one || sign == '+') && ends).then(|| after.split_at(after.len() - rest.len()))
}

/// Whether a sign belongs to the word that `rest` begins with: that of `.NET`, `#1`, `$9`, `+1`.
pub(super) fn belongs_to_next(sign: char, rest: &str) -> bool {
    match sign {
        '.' => rest.starts_with(is_part_of_word),
        '#' | '$' | '€' | '£' | '+' | '-' => rest.starts_with(|c: char| c.is_ascii_digit()),
        _ => false,
    }
}

/// Whether another sentence follows a piece of text, if it does not begin with a small letter.
pub(super) fn ends_sentence(piece: &str) -> bool {
    // Most pieces end in a letter.
    let last = piece.as_bytes().last();
    if last.is_some_and(|last| last.is_ascii_alphanumeric() || *last == b',') {
        return false;
    }
    let body = piece.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    let Some(body) = body.strip_suffix('.') else {
        return body.ends_with(['!', '?', '！', '？']);
    };
    // The last word: of an acronym, its last letter.
    let word = body.rsplit(|c: char| !c.is_alphanumeric()).next();
    word.is_some_and(|word| {
        let is_initial =
            word.chars().nth(1).is_none() && !word.starts_with(|c: char| c.is_numeric());
        let is_short = ABBREVIATIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word));
        !is_initial && !is_short
    })
}

/// What a point after it says nothing of: a name or a number usually follows.
const ABBREVIATIONS: [&str; 47] = [
    "dr", "mr", "mrs", "ms", "st", "ste", "jr", "sr", "vs", "no", "nos", "vol", "lt", "sgt",
    "capt", "col", "gen", "prof", "rev", "hon", "gov", "sen", "rep", "ft", "mt", "inc", "co",
    "corp", "ltd", "bros", "cmdr", "cpl", "maj", "adm", "pvt", "fr", "messrs", "mme", "mlle",
    "dept", "est", "ph", "sc", "feat", "etc", "al", "sept",
];

/// Letters of scripts without spaces, as far as a sentence may begin with them right after another.
pub(super) fn is_unspaced(c: char) -> bool {
    is_part_of_word(c) && !is_spaced_script(c)
}

/// `u.s.`: no other word has points.
pub(super) fn with_points(letters: &str) -> String {
    letters.chars().flat_map(|letter| [letter, '.']).collect()
}

pub(super) fn is_decade(text: &str) -> bool {
    text.len() >= 2 && text.ends_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() && is_combining_mark(c)
}

/// What stands between the words of a compound: hyphens, and the points of WALL·E and M*A*S*H.
pub(super) fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '‐' | '‑' | '·' | '*')
}

/// Letters of scripts that put spaces between words.
pub(super) fn is_spaced_script(c: char) -> bool {
    matches!(c, '\0'..='\u{DFF}' | '\u{10A0}'..='\u{10FF}' | '\u{1100}'..='\u{13FF}' | '\u{1E00}'..='\u{1FFF}' | '\u{AC00}'..='\u{D7AF}')
}
