//! Which films there are: from the words of a keyword to the films that have them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::film::FilmWords;
use super::id_set::IdSet;
use super::keyword::Keyword;
use super::terms::Terms;
use super::word::Word;

/// Stands between two fields in a film's sequence of terms.
const GAP: u32 = u32::MAX;

/// All films, each with its words in order, and for each word the films that have it.
#[derive(Default)]
pub(super) struct Library {
    terms: Terms,
    /// The films that have each term, by its number.
    having: Vec<IdSet>,
    by_id: HashMap<Arc<str>, u32, RandomState>,
    films: Vec<Film>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Film {
    id: Arc<str>,
    /// The terms of its words in order, each a use of its own.
    sequence: Box<[u32]>,
}

impl Library {
    /// Adds a film, or changes the one with this id.
    pub(super) fn put(&mut self, id: &str, film: &FilmWords) {
        self.remove(id);
        let number = self.free.pop().unwrap_or(self.films.len() as u32);
        let sequence = film.words().iter().map(|&word| {
            if word == Word::GAP {
                GAP
            } else {
                self.terms.acquire(word)
            }
        });
        let film = Film {
            id: id.into(),
            sequence: sequence.collect(),
        };
        self.having.resize_with(self.terms.end(), IdSet::default);
        for &term in &film.sequence {
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

    /// Takes a film out; false when there was none with this id.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(number) = self.by_id.remove(id) else {
            return false;
        };
        self.free.push(number);
        let Some(film) = self.films.get_mut(number as usize) else {
            return false;
        };
        for term in std::mem::take(film).sequence {
            if let Some(having) = self.having.get_mut(term as usize) {
                having.remove(number);
                self.terms.release(term);
            }
        }
        true
    }

    /// The ids of the films that have a keyword, in no particular order.
    pub(super) fn matching(&self, keyword: &Keyword) -> Vec<Arc<str>> {
        let mut ids = Vec::new();
        self.for_each_matching(keyword, |film| ids.push(Arc::clone(&film.id)));
        ids
    }

    /// How many films have a keyword.
    pub(super) fn count(&self, keyword: &Keyword) -> usize {
        if let [word] = keyword.words() {
            return self
                .terms
                .find(word)
                .and_then(|term| self.having.get(term as usize))
                .map_or(0, IdSet::len);
        }
        let mut count = 0;
        self.for_each_matching(keyword, |_| count += 1);
        count
    }

    fn for_each_matching(&self, keyword: &Keyword, mut visit: impl FnMut(&Film)) {
        let terms: Option<Vec<u32>> = keyword
            .words()
            .iter()
            .map(|word| self.terms.find(word))
            .collect();
        let Some(terms) = terms else { return };
        let mut sets: Vec<&IdSet> = terms
            .iter()
            .filter_map(|&term| self.having.get(term as usize))
            .collect();
        sets.sort_by_key(|set| set.len());
        let Some((rarest, others)) = sets.split_first() else {
            return;
        };
        rarest.for_each(|number| {
            if let Some(film) = self.films.get(number as usize)
                && others.iter().all(|set| set.contains(number))
                && (terms.len() == 1 || film.sequence.windows(terms.len()).any(|row| row == terms))
            {
                visit(film);
            }
        });
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
            .map(|film| film.id.len() + 16 + film.sequence.len() * 4)
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
