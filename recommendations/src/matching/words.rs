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
mod cutter;
mod spelling;

use super::word::Word;

use cutter::Cutter;

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

/// How many words with hyphens between them are also read as one.
pub(super) const LONGEST_JOINED: usize = 6;

#[cfg(test)]
mod tests;
