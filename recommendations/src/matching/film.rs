//! A film as the matcher sees it, and the definition of a match.

use std::collections::HashSet;

use super::keyword::{Keyword, Term};
use super::word::Word;
use super::words::{Field, Variant, VariantKind, Words};

/// The texts of a film that preferences are matched against.
#[derive(Clone, Copy, Debug)]
pub struct FilmText<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its description.
    pub description: &'a str,
    /// Its genre, or several.
    pub genre: &'a str,
    /// Keywords sent by old catalogs; each may be a phrase, and punctuation may cling to it.
    pub keywords: &'a [String],
}

impl<'a> FilmText<'a> {
    /// The keywords that are more than a word of the texts in small letters. Catalogs send all of those, each once or
    /// as often as it comes; without their capitals names would be words in them.
    fn new_keywords(&self) -> Vec<&'a str> {
        let mut keywords = self.keywords.iter().map(String::as_str).peekable();
        let mut pieces = self.pieces();
        while let Some(keyword) = keywords.peek()
            && let Some(piece) = pieces.next()
        {
            if is_in_small_letters(piece, keyword) {
                keywords.next();
            }
        }
        let rest: Vec<&str> = keywords.collect();
        if rest.is_empty() {
            return rest;
        }
        let known: HashSet<String> = self.pieces().map(str::to_lowercase).collect();
        rest.into_iter()
            .filter(|keyword| !known.contains(*keyword))
            .collect()
    }

    fn pieces(&self) -> impl Iterator<Item = &'a str> {
        let texts = [self.title, self.description, self.genre];
        texts.into_iter().flat_map(str::split_whitespace)
    }
}

fn is_in_small_letters(piece: &str, small: &str) -> bool {
    match piece.is_ascii() {
        true => {
            piece.len() == small.len()
                && piece
                    .bytes()
                    .zip(small.bytes())
                    .all(|(one, other)| one.to_ascii_lowercase() == other)
        }
        false => piece.to_lowercase() == small,
    }
}

/// A film cut into folded words, with a gap between fields, and between the sentences of the description, so that no
/// phrase reaches from one into the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilmWords(Words);

impl FilmWords {
    /// Cuts a film's texts into words.
    pub fn of(film: &FilmText<'_>) -> FilmWords {
        let bytes = film.title.len() + film.description.len() + film.genre.len();
        let mut words = Words::with_capacity(bytes / 5 + 8);
        words.append_field(film.title, Field::Heading);
        words.append_field(film.description, Field::Prose);
        words.append_field(film.genre, Field::Heading);
        for keyword in film.new_keywords() {
            words.append_field(keyword, Field::Heading);
        }
        FilmWords(words)
    }

    /// The words in order, with [`Word::GAP`] after each field and each sentence.
    pub fn words(&self) -> &[Word] {
        &self.0.words
    }

    /// Second readings of some of the words, in the order of the words.
    pub fn variants(&self) -> &[Variant] {
        &self.0.variants
    }
}

/// Whether a film meets a keyword: has the words of one of its phrases in a row, within one field.
pub fn matches(film: &FilmWords, keyword: &Keyword) -> bool {
    keyword.phrases().iter().any(|phrase| {
        let row = Row {
            words: film.words(),
            variants: film.variants(),
            terms: phrase.len(),
            meets: |term, word| {
                let term: Option<&Term> = phrase.get(term);
                term.is_some_and(|term| term.forms.contains(&word))
            },
            exact: |term| phrase.get(term).is_some_and(|term: &Term| term.exact),
        };
        (0..film.words().len()).any(|start| row.is_at(start))
    })
}

/// A phrase and the words of a text: whether the phrase is somewhere in it. The index asks with numbers for words.
pub(super) struct Row<'a, W, Meets, Exact> {
    /// The words in order.
    pub(super) words: &'a [W],
    /// Their second readings, in order.
    pub(super) variants: &'a [Variant<W>],
    /// How many terms the phrase has.
    pub(super) terms: usize,
    /// Whether a term of the phrase has this word among its forms.
    pub(super) meets: Meets,
    /// Whether a term of the phrase is met only by the word as it is written.
    pub(super) exact: Exact,
}

impl<W: Copy, Meets: Fn(usize, W) -> bool, Exact: Fn(usize) -> bool> Row<'_, W, Meets, Exact> {
    /// Whether the phrase begins at a place.
    pub(super) fn is_at(&self, start: usize) -> bool {
        self.follows(start, 0)
    }

    /// Whether the terms from `term` on stand from `place` on.
    fn follows(&self, place: usize, term: usize) -> bool {
        if term == self.terms {
            return true;
        }
        let exact = (self.exact)(term);
        let word = self.words.get(place);
        if word.is_some_and(|&word| (self.meets)(term, word))
            && !(exact && self.is_written_otherwise(place))
            && self.follows(place + 1, term + 1)
        {
            return true;
        }
        self.variants_at(place).iter().any(|variant| {
            (self.meets)(term, variant.word)
                && !(exact && variant.kind.is_free())
                && self.follows(place + variant.length as usize, term + 1)
        })
    }

    /// Whether the word at a place is not written as it was folded.
    fn is_written_otherwise(&self, place: usize) -> bool {
        let exact =
            |variant: &Variant<W>| variant.kind == VariantKind::Exact && variant.length == 1;
        self.variants_at(place).iter().any(exact)
    }

    fn variants_at(&self, place: usize) -> &[Variant<W>] {
        let first = self
            .variants
            .partition_point(|variant| (variant.start as usize) < place);
        let from = self.variants.get(first..).unwrap_or_default();
        let count = from
            .iter()
            .take_while(|variant| variant.start as usize == place)
            .count();
        from.get(..count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
