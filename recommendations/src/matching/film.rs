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
        let mut place = start;
        for term in 0..self.terms {
            let mut after = self.after(place, term);
            match (after.next(), after.next()) {
                (None, _) => return false,
                (Some(only), None) => place = only,
                (Some(one), Some(other)) => {
                    let places = [one, other].into_iter().chain(after).collect();
                    return self.is_at_any(places, term + 1);
                }
            }
        }
        true
    }

    /// Whether the terms from `term` on stand from one of `places` on. Each place is looked at once: readings that end at one place
    /// go on alike, and there are up to two to the power of the number of terms.
    fn is_at_any(&self, mut places: Vec<usize>, term: usize) -> bool {
        for term in term..self.terms {
            places.sort_unstable();
            places.dedup();
            let after = places.iter().flat_map(|&place| self.after(place, term));
            places = after.collect();
        }
        !places.is_empty()
    }

    /// Where the readings end that meet a term at a place; one place perhaps several times.
    fn after(&self, place: usize, term: usize) -> impl Iterator<Item = usize> {
        let exact = (self.exact)(term);
        let word = self.words.get(place).filter(|&&word| {
            (self.meets)(term, word) && !(exact && self.is_written_otherwise(place))
        });
        let variants = self.variants_at(place).iter().filter(move |variant| {
            (self.meets)(term, variant.word) && !(exact && variant.kind.is_free())
        });
        let of_variants = variants.map(move |variant| place + variant.length as usize);
        word.map(|_| place + 1).into_iter().chain(of_variants)
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
