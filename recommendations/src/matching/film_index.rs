//! All films: from the words of a keyword to the films that have them.
//!
//! A film is kept as the numbers of its words, so that phrases can be looked for; inflections and other readings are
//! looked up when a keyword is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use roaring::RoaringBitmap;

use super::film::{FilmWords, Row};
use super::id_set::IdSet;
use super::keyword::{Keyword, Phrase, Term};
use super::terms::Terms;
use super::word::Word;
use super::words::Variant;

/// Stands between two fields in a film's words.
const GAP: u32 = u32::MAX;

/// All films, each with its words in order, and for each word the films that have it.
#[derive(Default)]
pub(super) struct FilmIndex {
    terms: Terms,
    /// The films that have each word or second reading, by its number.
    having: Vec<IdSet>,
    by_id: HashMap<Arc<str>, u32, RandomState>,
    films: Vec<Film>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Film {
    id: Arc<str>,
    /// The numbers of its words in order, each a use of its own.
    words: Box<[u32]>,
    variants: Box<[Variant<u32>]>,
}

impl Film {
    fn terms(&self) -> impl Iterator<Item = u32> {
        let variants = self.variants.iter().map(|variant| variant.word);
        self.words
            .iter()
            .copied()
            .filter(|&word| word != GAP)
            .chain(variants)
    }
}

impl FilmIndex {
    /// Adds a film, or changes the one with this id.
    pub(super) fn put(&mut self, id: &str, film: &FilmWords) {
        self.remove(id);
        let number = self.free.pop().unwrap_or(self.films.len() as u32);
        let words = film.words().iter().map(|&word| {
            if word == Word::GAP {
                GAP
            } else {
                self.terms.acquire(word)
            }
        });
        let words = words.collect();
        let variants = film.variants().iter();
        let variants = variants.map(|variant| variant.with(self.terms.acquire(variant.word)));
        let film = Film {
            id: id.into(),
            words,
            variants: variants.collect(),
        };
        self.having.resize_with(self.terms.end(), IdSet::default);
        for term in film.terms() {
            if let Some(having) = self.having.get_mut(term as usize) {
                having.insert(number);
            }
        }
        self.by_id.insert(Arc::clone(&film.id), number);
        match self.films.get_mut(number as usize) {
            Some(place) => *place = film,
            None => self.films.push(film),
        }
    }

    /// Removes a film; false when there was none with this id.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(number) = self.by_id.remove(id) else {
            return false;
        };
        self.free.push(number);
        let Some(film) = self.films.get_mut(number as usize) else {
            return false;
        };
        for term in std::mem::take(film).terms() {
            if let Some(having) = self.having.get_mut(term as usize) {
                having.remove(number);
                self.terms.release(term);
            }
        }
        true
    }

    /// The ids of the films that meet a keyword, in no particular order.
    pub(super) fn matching(&self, keyword: &Keyword) -> Vec<Arc<str>> {
        let numbers = self.numbers_matching(keyword);
        let films = numbers
            .iter()
            .filter_map(|number| self.films.get(number as usize));
        films.map(|film| Arc::clone(&film.id)).collect()
    }

    /// How many films meet a keyword.
    pub(super) fn count(&self, keyword: &Keyword) -> usize {
        self.numbers_matching(keyword).len() as usize
    }

    fn numbers_matching(&self, keyword: &Keyword) -> RoaringBitmap {
        let mut numbers = RoaringBitmap::new();
        for phrase in keyword.phrases() {
            self.add_matching(phrase, &mut numbers);
        }
        numbers
    }

    fn add_matching(&self, phrase: &Phrase, numbers: &mut RoaringBitmap) {
        let forms: Vec<Vec<u32>> = phrase
            .iter()
            .map(|term| {
                term.forms
                    .iter()
                    .filter_map(|form| self.terms.find(form))
                    .collect()
            })
            .collect();
        let having = |forms: &Vec<u32>| -> Vec<&IdSet> {
            let sets = forms
                .iter()
                .filter_map(|&term| self.having.get(term as usize));
            sets.collect()
        };
        let mut sets: Vec<Vec<&IdSet>> = forms.iter().map(having).collect();
        sets.sort_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>());
        let Some((rarest, others)) = sets.split_first() else {
            return;
        };
        if let [term] = &**phrase
            && !term.exact
        {
            rarest.iter().for_each(|set| set.add_to(numbers));
            return;
        }
        let mut candidates = RoaringBitmap::new();
        rarest.iter().for_each(|set| set.add_to(&mut candidates));
        let has_all = |number: &u32| {
            let mut others = others.iter();
            others.all(|sets| sets.iter().any(|set| set.contains(*number)))
        };
        for number in candidates.iter().filter(has_all) {
            if let Some(film) = self.films.get(number as usize)
                && has_row(film, phrase, &forms)
            {
                numbers.insert(number);
            }
        }
    }

    /// How many films there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Memory held, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let films: usize = self
            .films
            .iter()
            .map(|film| {
                film.id.len()
                    + 16
                    + film.words.len() * 4
                    + film.variants.len() * size_of::<Variant<u32>>()
            })
            .sum();
        let having: usize = self.having.iter().map(IdSet::memory_bytes).sum();
        self.terms.memory_bytes()
            + films
            + self.films.capacity() * size_of::<Film>()
            + having
            + self.having.capacity() * size_of::<IdSet>()
            + self.by_id.capacity() * (size_of::<(Arc<str>, u32)>() + 1) * 8 / 7
    }
}

/// Whether a film has a phrase, whose terms have the forms with these numbers.
fn has_row(film: &Film, phrase: &Phrase, forms: &[Vec<u32>]) -> bool {
    let row = Row {
        words: &film.words,
        variants: &film.variants,
        terms: phrase.len(),
        meets: |term, word: u32| {
            let forms: Option<&Vec<u32>> = forms.get(term);
            forms.is_some_and(|forms| forms.contains(&word))
        },
        exact: |term| phrase.get(term).is_some_and(|term: &Term| term.exact),
    };
    (0..film.words.len()).any(|start| row.is_at(start))
}
