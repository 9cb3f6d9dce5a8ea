//! What a user follows: one word or a phrase.
//!
//! A keyword is folded and cut as films are. It meets the inflections of its words, except those in double quotes,
//! which mean exactly these words: no inflection and no other spelling, accents and apostrophes included, but any case.
//! Only a little word in capitals is the acronym there, as `"US"` is. An acronym with points, quoted or not, is met
//! with points or in capitals, and in small letters only if no word can be meant, as by `dc`. Two spellings are one keyword if their [normal form](Keyword::normal) is the same;
//! a word and its plural are two keywords, since a user may well want only one of them, in quotes.

use std::sync::Arc;

use thiserror::Error;

use super::inflection::{as_name, inflections};
use super::word::Word;
use super::words::{Field, Spelled, Words};

/// The longest keyword, in characters.
pub const LONGEST_KEYWORD: usize = 255;

/// The longest normal form, in bytes: signs such as `ﷺ` become many letters.
pub const LONGEST_NORMAL: usize = 700;

/// How many words a phrase has at most for other divisions of its words to be tried.
const LONGEST_DIVIDED: usize = 4;

/// A preference's keyword: one word, or several that a film must have in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyword {
    text: Box<str>,
    normal: Box<str>,
    phrases: Arc<[Phrase]>,
}

/// Terms that a film must have in a row.
pub(super) type Phrase = Box<[Term]>;

/// A word of a keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// The words that it meets: the word itself and its inflections, sorted.
    pub(super) forms: Box<[Word]>,
    /// Whether it is met only by the word as it is written.
    pub(super) exact: bool,
}

/// Why a text is no keyword; the message says what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeywordError {
    /// There is no letter and no digit in it.
    #[error("a keyword needs at least one letter or digit")]
    NoWord,
    /// It has more than 255 characters.
    #[error("a keyword has at most {LONGEST_KEYWORD} characters")]
    TooLong,
    /// It has a line break, a tab or another control character in it.
    #[error("a keyword is one line of text, without control characters")]
    ControlCharacter,
}

impl Keyword {
    /// Reads a keyword as a person gave it; white space around it does not count.
    pub fn parse(text: &str) -> Result<Keyword, KeywordError> {
        let (words, normal) = checked(text)?;
        let divisions = divisions(&words);
        Ok(Keyword {
            text: text.trim().into(),
            normal: normal.into(),
            phrases: divisions.iter().map(|words| phrase(words)).collect(),
        })
    }

    /// The keyword as it was given, without white space around it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What identifies the keyword: its words without case, width, accents and punctuation, one space between them;
    /// quotes and the points of acronyms stay. Inflections are kept apart.
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The normal form of a text as a keyword; the text itself without white space around it if it is none.
    pub fn normal_of(text: &str) -> String {
        checked(text).map_or_else(|_| text.trim().to_owned(), |(_, normal)| normal)
    }

    /// The phrases of which a film must have one: the words as they were given, and other divisions of them
    /// (`sci fi` and `scifi`).
    pub(super) fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }
}

/// A word of a keyword as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Inflected(String),
    Exact(String),
}

/// The words of a keyword and its normal form.
fn checked(text: &str) -> Result<(Vec<Given>, String), KeywordError> {
    let text = text.trim();
    if text.chars().nth(LONGEST_KEYWORD).is_some() {
        return Err(KeywordError::TooLong);
    }
    if text.contains(char::is_control) {
        return Err(KeywordError::ControlCharacter);
    }
    let words = read(text);
    if words.is_empty() {
        return Err(KeywordError::NoWord);
    }
    let normal = normal(&words);
    if normal.len() > LONGEST_NORMAL {
        return Err(KeywordError::TooLong);
    }
    Ok((words, normal))
}

/// The words of a keyword, those within double quotes as they are written.
fn read(text: &str) -> Vec<Given> {
    let parts: Vec<&str> = text.split(is_quote).collect();
    let last = parts.len() - 1;
    let mut given = Vec::new();
    let mut joined = String::new();
    let mut exact: Vec<bool> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        // A quote that nothing closes is punctuation.
        let quoted = place % 2 == 1 && place < last;
        joined.push_str(part);
        joined.push(' ');
        exact.resize(cut(&joined).len(), quoted);
    }
    for (word, exact) in cut(&joined).into_iter().zip(exact) {
        given.push(match exact {
            // "us" is no way to ask for the US; other words are the same with capitals.
            true if LITTLE_WORDS.contains(&&*word.folded) => {
                Given::Exact(word.capitals.unwrap_or(word.exact))
            }
            true => Given::Exact(word.exact),
            // The points are what tells an acronym from a word, the sign what tells A+ from "a".
            false if word.exact.contains(SIGNS) => Given::Inflected(word.exact),
            false => Given::Inflected(word.folded),
        });
    }
    given
}

/// What belongs to a word in its exact reading, besides letters, accents and apostrophes.
const SIGNS: [char; 10] = ['.', '+', '#', '*', '-', '%', '°', '$', '€', '£'];

fn cut(text: &str) -> Vec<Spelled> {
    let mut words = Words::with_texts();
    words.append_field(text, Field::Keyword);
    words.spelled().into_iter().flatten().collect()
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '‟' | '＂')
}

fn normal(words: &[Given]) -> String {
    let mut normal = String::new();
    let mut quoted = false;
    for word in words {
        let exact = matches!(word, Given::Exact(_));
        if quoted && !exact {
            normal.push('"');
        }
        if !normal.is_empty() {
            normal.push(' ');
        }
        if exact && !quoted {
            normal.push('"');
        }
        quoted = exact;
        match word {
            Given::Inflected(text) | Given::Exact(text) => normal.push_str(text),
        }
    }
    if quoted {
        normal.push('"');
    }
    normal
}

fn phrase(words: &[Given]) -> Phrase {
    let last = words.len() - 1;
    let terms = words.iter().enumerate().map(|(place, word)| match word {
        Given::Inflected(text) => {
            let mut forms: Vec<Word> = inflections(text)
                .iter()
                .map(|form| Word::of(form))
                .collect();
            if text == "n" && place > 0 && place < last {
                // Rock n roll.
                forms.push(Word::AND);
            }
            forms.extend(as_name(text));
            forms.extend(small_acronym(text).map(|letters| Word::of(&letters)));
            Term::new(forms, false)
        }
        Given::Exact(text) => {
            let mut forms = vec![Word::of(text)];
            forms.extend(as_name(text));
            Term::new(forms, true)
        }
    });
    terms.collect()
}

impl Term {
    fn new(mut forms: Vec<Word>, exact: bool) -> Term {
        forms.sort_unstable();
        Term {
            forms: forms.into(),
            exact,
        }
    }
}

/// The letters of an acronym that no other word has, because a word has a vowel: `D.C.` is also written `dc`, but
/// "us" is not the `U.S.`
fn small_acronym(text: &str) -> Option<String> {
    let letters = text.replace('.', "");
    let is_acronym = text.ends_with('.') && !text.starts_with('.');
    let may_be_a_word =
        letters.contains(|c: char| "aeiouy".contains(c) || !c.is_ascii_alphabetic());
    (is_acronym && !may_be_a_word).then_some(letters)
}

/// The words as they are, with two neighbours as one word, and with one word as two.
fn divisions(words: &[Given]) -> Vec<Vec<Given>> {
    let mut divisions = vec![words.to_vec()];
    if words.len() > LONGEST_DIVIDED {
        return divisions;
    }
    for (place, pair) in words.windows(2).enumerate() {
        if let [Given::Inflected(one), Given::Inflected(two)] = pair
            && (can_be_half(one) || is_number(one))
            && (can_be_half(two) || is_number(two))
            && !(is_number(one) && is_number(two))
        {
            let mut joined = words.to_vec();
            joined.splice(place..place + 2, [Given::Inflected(format!("{one}{two}"))]);
            divisions.push(joined);
        }
    }
    for (place, word) in words.iter().enumerate() {
        if let Given::Inflected(text) = word
            && let Some((one, two)) = halves(text)
        {
            let mut divided = words.to_vec();
            let halves = [one, two].map(|half| Given::Inflected(half.to_owned()));
            divided.splice(place..=place, halves);
            divisions.push(divided);
        }
    }
    divisions
}

/// The two words that a compound is made of, where people write it either way.
fn halves(word: &str) -> Option<(&str, &str)> {
    if let Some(halves) = number_and_letters(word) {
        return Some(halves);
    }
    let first = FIRST_HALVES
        .iter()
        .find_map(|half| Some((*half, word.strip_prefix(half)?)));
    let last = || {
        LAST_HALVES
            .iter()
            .find_map(|half| Some((word.strip_suffix(half)?, *half)))
    };
    let halves = first.filter(|(_, rest)| rest.len() > 1).or_else(last)?;
    let long = |half: &str| half.chars().nth(1).is_some() && can_be_half(half);
    (long(halves.0) && long(halves.1)).then_some(halves)
}

/// `3d` as 3-D, `catch22` as Catch-22; not 1990s and 20th.
fn number_and_letters(word: &str) -> Option<(&str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let starts_with_number = word.starts_with(is_digit);
    let end = word.find(|c: char| is_digit(c) != starts_with_number)?;
    let (one, two) = word.split_at_checked(end)?;
    let (number, letters) = if starts_with_number {
        (one, two)
    } else {
        (two, one)
    };
    let ends = ["s", "st", "nd", "rd", "th"].contains(&letters);
    (is_number(number) && can_be_half(letters) && !ends).then_some((one, two))
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a word may be half of a compound: "the rapist" is no therapist, "hero in" no heroin.
fn can_be_half(word: &str) -> bool {
    word.chars().all(char::is_alphabetic) && !LITTLE_WORDS.contains(&word)
}

const FIRST_HALVES: [&str; 24] = [
    "anti", "bat", "cyber", "electro", "film", "grand", "hyper", "inter", "iron", "mega", "micro",
    "multi", "neo", "non", "post", "psycho", "sci", "space", "spider", "step", "super", "techno",
    "time", "war",
];

const LAST_HALVES: [&str; 24] = [
    "boy", "boys", "fi", "fighter", "fighters", "film", "films", "girl", "girls", "hero", "heroes",
    "house", "hunter", "hunters", "killer", "killers", "maker", "makers", "man", "men", "movie",
    "movies", "punk", "woman",
];

const LITTLE_WORDS: [&str; 67] = [
    "a", "about", "all", "am", "an", "and", "any", "are", "as", "at", "back", "be", "but", "by",
    "can", "come", "did", "do", "down", "for", "from", "get", "had", "has", "have", "he", "her",
    "his", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not", "o", "of",
    "off", "on", "one", "or", "our", "out", "over", "she", "so", "some", "that", "the", "their",
    "them", "then", "they", "this", "to", "under", "up", "us", "was", "we", "with", "you",
];

#[cfg(test)]
mod tests;
