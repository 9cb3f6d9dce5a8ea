//! Cuts one text into words and their second readings.

use unicode_segmentation::UnicodeSegmentation;

use super::spelling::{
    DEGREES, acronym, belongs_to_next, chunk, ends_sentence, is_decade, is_elided, is_hyphen,
    is_part_of_word, is_spaced_script, is_unspaced, sign_after, with_points,
};
use super::{Field, LONGEST_JOINED, VariantKind, Words};
use crate::matching::folding::{folded, lowered, unified};
use crate::matching::inflection::{self, Name};
use crate::matching::word::{Letters, Word};

/// Cuts one text.
pub(super) struct Cutter<'a> {
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
    pub(super) fn new(text: &'a str, field: Field, out: &'a mut Words) -> Self {
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

    pub(super) fn cut(&mut self) {
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
    pub(super) fn plain(&mut self, piece: &[u8]) -> Option<()> {
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
    pub(super) fn piece(&mut self, piece: &str) {
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
                .or(after_point.strip_prefix("'S"))
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
