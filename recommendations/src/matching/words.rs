//! The words of a text, without what does not count: case, width, accents, punctuation.
//!
//! A text is cut into words at everything that is no letter and no digit. `&` and `+` between words are the word
//! "and". Some words can be read in a second way, as a [`Variant`] over the same place: `Spider-Man` also as
//! `spiderman`, `U.S.` as an acronym and not only as the word "us", `Amélie` with its accent, `Disney+` with its sign.
//! A gap stands between the sentences of a description, so that no phrase reaches over it. What is written with a
//! capital and is a name is another word than without. Inflections are not looked at here; see
//! [`inflection`](super::inflection).
//!
//! Characters that Unicode calls compatible are alike, also where that makes another sign: `①` and `²` are digits,
//! `½` is `1/2`. A reader types the plain one.

use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::folding::{folded, lowered, unified};
use super::inflection::{self, Name};
use super::word::{Letters, Word};

/// A second reading of one or several words of a text. An index puts numbers in the place of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant<W = Word> {
    /// The place of the first word.
    pub start: u32,
    /// How many words it stands for.
    pub length: u32,
    /// What they are read as.
    pub word: W,
    /// What sort of reading it is.
    pub kind: VariantKind,
}

impl Variant {
    /// The same with something else in the place of the word.
    pub(super) fn with<W>(&self, word: W) -> Variant<W> {
        Variant {
            start: self.start,
            length: self.length,
            word,
            kind: self.kind,
        }
    }
}

/// Why a word has a second reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantKind {
    /// Words with a hyphen or an elision between them, as one word.
    Joined,
    /// Capital letters, which may be an acronym.
    Capitals,
    /// The word as it is written, which is not the folded word: with accents, apostrophe, points or sign.
    Exact,
    /// The `n` of rock 'n' roll, as "and".
    And,
}

impl VariantKind {
    /// Whether the word is not written like this.
    pub(super) fn is_free(self) -> bool {
        matches!(self, VariantKind::Joined | VariantKind::And)
    }
}

/// What sort of text words are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Sentences.
    Prose,
    /// A title, a genre, or a word of a list.
    Heading,
    /// A keyword: in it capitals say little, and all words are one phrase.
    Keyword,
}

/// Words in order, and second readings of some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    pub(super) variants: Vec<Variant>,
    /// The letters of words and variants, if they are asked for.
    texts: Option<Texts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts {
    words: Vec<String>,
    variants: Vec<String>,
}

impl Words {
    pub(super) fn with_capacity(words: usize) -> Words {
        Words {
            words: Vec::with_capacity(words),
            ..Words::default()
        }
    }

    /// Collects the letters, too.
    pub(super) fn with_texts() -> Words {
        Words {
            texts: Some(Texts::default()),
            ..Words::default()
        }
    }

    /// Appends the words of a text, and a gap if it had any.
    pub(super) fn append_field(&mut self, text: &str, field: Field) {
        let first = self.words.len();
        Cutter::new(text, field, self).cut();
        if self.words.len() > first {
            self.push("", Word::GAP);
        }
        if self.texts.is_none() && !self.variants.is_sorted_by_key(|variant| variant.start) {
            self.variants.sort_by_key(|variant| variant.start);
        }
    }

    /// The letters of each word, with the letters of its exact reading where that is another; none at a gap.
    pub(super) fn spelled(&self) -> Vec<Option<Spelled>> {
        let Some(texts) = &self.texts else {
            return Vec::new();
        };
        let words = texts.words.iter().enumerate().map(|(place, text)| {
            // The last one: the sign of a word is looked at after its accents.
            let read_as = |kind: VariantKind| {
                let variants = self.variants.iter().zip(&texts.variants).rev();
                let mut here = variants.filter(|(variant, _)| {
                    variant.length == 1 && variant.start as usize == place && variant.kind == kind
                });
                here.next().map(|(_, text)| text.clone())
            };
            (!text.is_empty()).then(|| Spelled {
                folded: text.clone(),
                exact: read_as(VariantKind::Exact).unwrap_or_else(|| text.clone()),
                capitals: read_as(VariantKind::Capitals),
            })
        });
        words.collect()
    }

    fn push(&mut self, text: &str, word: Word) {
        self.words.push(word);
        if let Some(texts) = &mut self.texts {
            texts.words.push(text.into());
        }
    }

    fn push_variant(&mut self, start: usize, length: usize, text: &str, kind: VariantKind) {
        self.variants.push(Variant {
            start: start as u32,
            length: length as u32,
            word: Word::of(text),
            kind,
        });
        if let Some(texts) = &mut self.texts {
            texts.variants.push(text.into());
        }
    }

    /// Takes back all words from `place` on, with their variants.
    fn truncate(&mut self, place: usize) {
        self.words.truncate(place);
        while self
            .variants
            .last()
            .is_some_and(|last| last.start as usize >= place)
        {
            self.variants.pop();
        }
        if let Some(texts) = &mut self.texts {
            texts.words.truncate(place);
            texts.variants.truncate(self.variants.len());
        }
    }
}

/// The letters of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelled {
    /// Without case and accents.
    pub(super) folded: String,
    /// Without case; an acronym has a point after each letter.
    pub(super) exact: String,
    /// As an acronym, if it has the capitals of one.
    pub(super) capitals: Option<String>,
}

/// Cuts one text.
struct Cutter<'a> {
    text: &'a str,
    field: Field,
    /// The place of its first word.
    first: usize,
    /// A sentence is under way: a capital is no matter of where the word stands.
    is_inside: bool,
    out: &'a mut Words,
    /// An "and" is due before the next word.
    and: bool,
    /// Letters with points, white space between them: where they began, where they ended, which they are.
    initials: Option<(usize, usize, String)>,
    /// The last word that needed more than the plain way.
    last: String,
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str, field: Field, out: &'a mut Words) -> Self {
        Cutter {
            text,
            field,
            first: out.words.len(),
            is_inside: false,
            out,
            and: false,
            initials: None,
            last: String::new(),
        }
    }

    fn cut(&mut self) {
        let mut has_ended = false;
        // No word reaches over ASCII white space, and most pieces between it need none of the rules.
        for piece in self.text.split_ascii_whitespace() {
            if has_ended && let Some(first) = piece.chars().find(|c| c.is_alphanumeric()) {
                has_ended = false;
                if !first.is_lowercase() {
                    self.end_sentence();
                }
            }
            if self.plain(piece.as_bytes()).is_none() {
                if piece.is_ascii() {
                    self.piece(piece);
                } else {
                    unified(piece)
                        .split_whitespace()
                        .for_each(|piece| self.piece(piece));
                }
            }
            self.is_inside = true;
            has_ended |= self.field == Field::Prose && ends_sentence(piece);
        }
    }

    /// What follows is another sentence.
    fn end_sentence(&mut self) {
        self.is_inside = false;
        self.and = false;
        if self.out.words.len() > self.first && self.out.words.last() != Some(&Word::GAP) {
            self.out.push("", Word::GAP);
        }
    }

    /// A word of ASCII letters and digits with punctuation at most around it; none when it needs more than that.
    fn plain(&mut self, piece: &[u8]) -> Option<()> {
        let mut rest = piece;
        while let [b'(' | b'[' | b'"' | b'\'', after @ ..] = rest {
            rest = after;
        }
        let mut letters = Letters::default();
        let mut capitals = 0;
        while let [byte, after @ ..] = rest
            && byte.is_ascii_alphanumeric()
        {
            capitals += usize::from(byte.is_ascii_uppercase());
            letters.push(byte.to_ascii_lowercase());
            rest = after;
        }
        let all_trailing = |rest: &[u8]| {
            rest.iter().all(|byte| {
                matches!(
                    byte,
                    b',' | b'.' | b';' | b':' | b'!' | b'?' | b')' | b']' | b'"' | b'\''
                )
            })
        };
        if letters.is_empty() || capitals > 1 || !all_trailing(rest) {
            return None;
        }
        let word = letters.word()?;
        let has_point = rest.first() == Some(&b'.');
        // Of most words of a film nothing but the word is needed.
        let is_plain = capitals == 0 && !has_point && !letters.is_one();
        if is_plain && self.out.texts.is_none() {
            self.word("", word);
            return Some(());
        }
        let text = letters.text()?;
        if has_point && (text.len() == 1 || DEGREES.contains(&text)) {
            return None;
        }
        // One capital that is not the first letter is rare, and makes no difference here.
        let word = if capitals == 1 {
            self.named(text, word)
        } else {
            word
        };
        self.word(text, word);
        Some(())
    }

    /// The place of the next word.
    fn next_place(&self) -> usize {
        self.out.words.len() + usize::from(self.and)
    }

    fn word(&mut self, text: &str, word: Word) {
        if std::mem::take(&mut self.and) {
            self.out.push("and", Word::AND);
        }
        self.out.push(text, word);
        if text == "n" {
            let place = self.out.words.len() - 1;
            self.out.push_variant(place, 1, "and", VariantKind::And);
        }
    }

    /// The word of a folded text that has a capital where it stands: that of the name, if it is one.
    fn named(&self, text: &str, word: Word) -> Word {
        let is_name = self.field != Field::Keyword
            && inflection::name(&word).is_some_and(|name| match name {
                Name::Always => true,
                Name::Inside => self.field == Field::Prose && self.is_inside,
            });
        if !is_name {
            return word;
        }
        inflection::as_name(text).unwrap_or(word)
    }

    /// Any piece of unified text.
    fn piece(&mut self, piece: &str) {
        let mut rest = piece;
        let mut previous = ' ';
        let mut sign = None;
        while let Some(c) = rest.chars().next() {
            if is_part_of_word(c) {
                let before = rest;
                let place = self.next_place();
                rest = self.compound(rest);
                if let Some(sign) = sign.take() {
                    self.sign_before(place, sign, before);
                }
                let read = before.len() - rest.len();
                previous = before
                    .get(..read)
                    .and_then(|read| read.chars().next_back())
                    .unwrap_or(' ');
                continue;
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            let attached = [is_part_of_word(previous), rest.starts_with(is_part_of_word)];
            // LGBTQ+ and +1 are no sums.
            let means_and = c == '&' || c == '+' && attached[0] == attached[1];
            if means_and && self.out.words.len() > self.first {
                self.and = true;
            }
            let is_sign = !attached[0] && previous != c && belongs_to_next(c, rest);
            sign = is_sign.then_some(c);
            // Where no white space stands between sentences.
            let ends = c == '。' || matches!(c, '!' | '?') && rest.starts_with(is_unspaced);
            if ends && self.field == Field::Prose {
                self.end_sentence();
            }
            previous = c;
        }
    }

    /// Words with hyphens between them, at least one, from the beginning of `text`; returns what follows.
    fn compound<'t>(&mut self, text: &'t str) -> &'t str {
        let mut parts: Vec<String> = Vec::new();
        let start = self.next_place();
        let mut rest = text;
        loop {
            let before = self.next_place();
            self.last.clear();
            let (chunk, after) = chunk(rest);
            rest = self.chunk(chunk, after);
            if self.out.words.len() == before + 1 {
                parts.push(self.last.clone());
            } else {
                // What is several words itself is not joined with others.
                parts.push(String::new());
            }
            let mut ahead = rest.chars();
            if ahead.next().is_some_and(is_hyphen) && ahead.next().is_some_and(is_part_of_word) {
                rest = rest.trim_start_matches(is_hyphen);
            } else {
                break;
            }
        }
        self.join(start, &parts);
        rest
    }

    /// Adds the words from `start` on as one word, and each two neighbours as one.
    fn join(&mut self, start: usize, parts: &[String]) {
        let joinable = |parts: &[String]| {
            let digits = |part: &String| part.bytes().all(|byte| byte.is_ascii_digit());
            parts.iter().all(|part| !part.is_empty()) && !parts.iter().all(digits)
        };
        if self.out.words.len() != start + parts.len() {
            return;
        }
        if (3..=LONGEST_JOINED).contains(&parts.len()) && joinable(parts) {
            self.out
                .push_variant(start, parts.len(), &parts.concat(), VariantKind::Joined);
        }
        for (place, pair) in parts.windows(2).enumerate() {
            if joinable(pair) {
                self.out
                    .push_variant(start + place, 2, &pair.concat(), VariantKind::Joined);
            }
        }
    }

    /// A run of letters, digits, and points and apostrophes between them; returns what follows.
    fn chunk<'t>(&mut self, chunk: &str, after: &'t str) -> &'t str {
        if let Some(letters) = acronym(chunk) {
            let after_point = after.strip_prefix('.').unwrap_or(after);
            let rest = after_point
                .strip_prefix("'s")
                .filter(|rest| !rest.starts_with(is_part_of_word))
                .unwrap_or(after_point);
            self.acronym(&letters);
            return rest;
        }
        if let Some(rest) = after.strip_prefix('.')
            && let letter = folded(chunk)
            && letter.chars().all(char::is_alphabetic)
            && (letter.chars().count() == 1 || DEGREES.contains(&&*letter))
        {
            self.initial(&letter);
            return rest;
        }
        if let Some((sign, rest)) = sign_after(chunk, after) {
            let text = folded(chunk) + sign;
            if chunk.chars().nth(1).is_none() && !sign.starts_with(['-', '%', '°']) {
                // Vitamin C is not written in C++.
                self.word(&text, Word::of(&text));
            } else {
                let place = self.next_place();
                self.letters(chunk);
                if self.out.words.len() > place {
                    self.out.push_variant(place, 1, &text, VariantKind::Exact);
                }
            }
            return rest;
        }
        for part in chunk.split('.') {
            let number = |byte: u8| byte.is_ascii_digit() || byte == b',';
            if part.bytes().all(number) {
                self.letters(&part.replace(',', ""));
            } else {
                part.split(',')
                    .filter(|part| !part.is_empty())
                    .for_each(|part| self.letters(part));
            }
        }
        after
    }

    /// Adds the exact reading with a sign before it to the word at `place`, where `text` begins.
    fn sign_before(&mut self, place: usize, sign: char, text: &str) {
        let (chunk, _) = chunk(text);
        let first = chunk.split(['.', ',', '\'']).next().unwrap_or(chunk);
        if place < self.out.words.len() {
            let text = format!("{sign}{}", folded(first));
            self.out.push_variant(place, 1, &text, VariantKind::Exact);
        }
    }

    /// A word of letters, digits and apostrophes.
    fn letters(&mut self, text: &str) {
        let Some((left, right)) = text.rsplit_once('\'') else {
            self.unbroken(text);
            return;
        };
        let rocks = ["'n'", "'N'"].iter().find_map(|and| text.split_once(and));
        if let Some((left, right)) = rocks.filter(|(left, right)| {
            !left.is_empty() && !right.is_empty() && !left.contains('\'') && !right.contains('\'')
        }) {
            let start = self.next_place();
            [left, "n", right]
                .iter()
                .for_each(|part| self.unbroken(part));
            self.join(start, &[folded(left), "n".into(), folded(right)]);
            return;
        }
        let exact = lowered(text);
        match lowered(right).as_str() {
            // "A 1990's thriller" is of the 1990s; the 's of other words is no part of the word.
            "s" if is_decade(left) => {
                self.exact_over(&exact, |cutter| cutter.unbroken(&format!("{left}s")))
            }
            "s" | "ll" | "re" | "ve" | "m" | "d" => {
                self.exact_over(&exact, |cutter| cutter.letters(left))
            }
            "n" => [left, right].iter().for_each(|part| self.letters(part)),
            _ => match text.split_once('\'') {
                Some((first, rest)) if is_elided(first) && !rest.contains('\'') => {
                    let start = self.next_place();
                    self.unbroken(first);
                    self.unbroken(rest);
                    self.join(start, &[folded(first), folded(rest)]);
                }
                _ => self.exact_over(&exact, |cutter| cutter.unbroken(&text.replace('\'', ""))),
            },
        }
    }

    /// Cuts by `cut`, which makes one word that is exactly `exact`.
    fn exact_over(&mut self, exact: &str, cut: impl FnOnce(&mut Self)) {
        let place = self.next_place();
        cut(self);
        if self.out.words.len() == place + 1 {
            self.out.push_variant(place, 1, exact, VariantKind::Exact);
        }
    }

    /// A word of letters and digits.
    fn unbroken(&mut self, text: &str) {
        if text.chars().all(is_spaced_script) {
            self.single(text);
        } else {
            // Where words stand without spaces, Unicode's rules say where one may end.
            text.unicode_words().for_each(|word| self.single(word));
        }
    }

    fn single(&mut self, text: &str) {
        let plain = folded(text);
        if !plain.contains(char::is_alphanumeric) {
            return;
        }
        let place = self.next_place();
        let mut word = Word::of(&plain);
        if let Some((first, rest)) = text.split_at_checked(1)
            && first.bytes().all(|byte| byte.is_ascii_uppercase())
            && rest.bytes().all(|byte| byte.is_ascii_lowercase())
        {
            word = self.named(&plain, word);
        }
        self.word(&plain, word);
        self.last.clone_from(&plain);
        if !text.is_ascii() {
            let exact = lowered(text);
            if exact != plain {
                self.out.push_variant(place, 1, &exact, VariantKind::Exact);
            }
        } else if self.stands_out(text) {
            self.out
                .push_variant(place, 1, &with_points(&plain), VariantKind::Capitals);
        }
    }

    /// Whether an ASCII word has the capitals of an acronym, in a text that is not all capitals.
    fn stands_out(&self, text: &str) -> bool {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphabetic());
        let capitals = text.bytes().filter(u8::is_ascii_uppercase).count();
        let all = capitals == text.len();
        letters
            && capitals > 1
            && ((all && text.len() <= 8) || text.len() <= 4)
            && (self.text.contains(char::is_lowercase) || self.text.trim().len() == text.len())
    }

    /// `U.S.`, by its letters.
    fn acronym(&mut self, letters: &str) {
        let place = self.next_place();
        self.word(letters, Word::of(letters));
        self.out
            .push_variant(place, 1, &with_points(letters), VariantKind::Exact);
    }

    /// A letter with a point, which may be one of several.
    fn initial(&mut self, letter: &str) {
        let place = self.out.words.len();
        if let Some((start, end, mut letters)) = self.initials.take()
            && end == place
            && !self.and
            && letters.len() < LONGEST_ACRONYM
        {
            letters.push_str(letter);
            self.out.truncate(start);
            self.acronym(&letters);
            self.initials = Some((start, start + 1, letters));
        } else {
            self.word(letter, Word::of(letter));
            let end = self.out.words.len();
            self.initials = Some((end - 1, end, letter.into()));
        }
    }
}

/// The longest acronym that is put together of letters with points, in bytes: to try each further letter is work for all before.
const LONGEST_ACRONYM: usize = 24;

/// What a word is before an apostrophe that joins it to the next.
const ELISIONS: [&str; 16] = [
    "l", "d", "j", "c", "n", "s", "t", "qu", "un", "dell", "nell", "all", "sull", "dall", "quell",
    "sant",
];

fn is_elided(text: &str) -> bool {
    ELISIONS
        .iter()
        .any(|elided| elided.eq_ignore_ascii_case(text))
}

/// How many words with hyphens between them are also read as one.
pub(super) const LONGEST_JOINED: usize = 6;

/// Splits a text after its letters, digits, and the points, commas and apostrophes between these.
fn chunk(text: &str) -> (&str, &str) {
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
fn acronym(chunk: &str) -> Option<String> {
    if !chunk.contains('.') {
        return None;
    }
    let mut letters = String::new();
    let mut single = false;
    for part in chunk.strip_suffix("'s").unwrap_or(chunk).split('.') {
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

/// Abbreviations of more than one letter that are followed by further initials: Ph. D., B. Sc.
const DEGREES: [&str; 5] = ["ph", "sc", "th", "ed", "ll"];

/// The sign that belongs to a word, and what follows it: that of `C++`, `A*`, `B-`, `Disney+`, `18+` and `100%`.
fn sign_after<'t>(chunk: &str, after: &'t str) -> Option<(&'t str, &'t str)> {
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
fn belongs_to_next(sign: char, rest: &str) -> bool {
    match sign {
        '.' => rest.starts_with(is_part_of_word),
        '#' | '$' | '€' | '£' | '+' | '-' => rest.starts_with(|c: char| c.is_ascii_digit()),
        _ => false,
    }
}

/// Whether another sentence follows a piece of text, if it does not begin with a small letter.
fn ends_sentence(piece: &str) -> bool {
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
fn is_unspaced(c: char) -> bool {
    is_part_of_word(c) && !is_spaced_script(c)
}

/// `u.s.`: no other word has points.
fn with_points(letters: &str) -> String {
    letters.chars().flat_map(|letter| [letter, '.']).collect()
}

fn is_decade(text: &str) -> bool {
    text.len() >= 2 && text.ends_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() && is_combining_mark(c)
}

/// What stands between the words of a compound: hyphens, and the points of WALL·E and M*A*S*H.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '‐' | '‑' | '·' | '*')
}

/// Letters of scripts that put spaces between words.
fn is_spaced_script(c: char) -> bool {
    matches!(c, '\0'..='\u{DFF}' | '\u{10A0}'..='\u{10FF}' | '\u{1100}'..='\u{13FF}' | '\u{1E00}'..='\u{1FFF}' | '\u{AC00}'..='\u{D7AF}')
}

#[cfg(test)]
mod tests;
