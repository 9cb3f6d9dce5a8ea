//! All preferences and all films in memory, matched in both directions.
//!
//! Asking needs `&mut`: memory for the answer is kept from one question to the next.

use std::sync::Arc;

use proto::UserId;

use super::film::FilmWords;
use super::film_index::FilmIndex;
use super::keyword::{Keyword, KeywordError};
use super::keyword_index::KeywordIndex;

/// Answers [`matches`](super::matches) for all users of a film and for all films of a keyword.
///
/// The work of a question grows with what matches, not with how much there is. A preference is identified by the user
/// and the [normal form](Keyword::normal) of the keyword: "Heist" and "heist" of one user are one preference.
#[derive(Default)]
pub struct Index {
    keywords: KeywordIndex,
    films: FilmIndex,
}

impl Index {
    /// An index without preferences and films.
    pub fn new() -> Index {
        Index::default()
    }

    /// An index with the preferences of this one and the films of `other`: the two can be made at the same time.
    pub fn with_films_of(self, other: Index) -> Index {
        Index {
            keywords: self.keywords,
            films: other.films,
        }
    }

    /// A user follows a keyword from now on; false when the index had that preference.
    pub fn follow(&mut self, user: UserId, keyword: &Keyword) -> bool {
        self.keywords.follow(user, keyword)
    }

    /// As [`Index::follow`], from the keyword's text and its normal form: the fast way for many preferences, because a
    /// keyword that a user follows already is not cut into words again.
    pub fn follow_normal(
        &mut self,
        user: UserId,
        text: &str,
        normal: &str,
    ) -> Result<bool, KeywordError> {
        self.keywords.follow_normal(user, text, normal)
    }

    /// A user follows a keyword no longer; false when the index had no such preference.
    pub fn stop(&mut self, user: UserId, keyword: &Keyword) -> bool {
        self.keywords.stop(user, keyword)
    }

    /// Adds a film, or puts it in the place of the one with the same id.
    pub fn put_film(&mut self, film_id: &str, film: &FilmWords) {
        self.films.put(film_id, film);
    }

    /// Takes a film out; false when the index had no such film.
    pub fn remove_film(&mut self, film_id: &str) -> bool {
        self.films.remove(film_id)
    }

    /// The users with a preference that the film meets, in order, each once. The film need not be in the index.
    ///
    /// The index is changed only in memory that it keeps for the next call.
    pub fn users_matching(&mut self, film: &FilmWords) -> Vec<UserId> {
        self.keywords.matching(film)
    }

    /// The ids of the films that meet a keyword, in no particular order. No user has to follow it.
    pub fn films_matching(&self, keyword: &Keyword) -> Vec<Arc<str>> {
        self.films.matching(keyword)
    }

    /// How many films meet a keyword. No user has to follow it.
    pub fn count_films(&self, keyword: &Keyword) -> usize {
        self.films.count(keyword)
    }

    /// How many preferences there are.
    pub fn preferences(&self) -> usize {
        self.keywords.len()
    }

    /// How many distinct keywords are followed.
    pub fn keywords(&self) -> usize {
        self.keywords.distinct()
    }

    /// How many films there are.
    pub fn films(&self) -> usize {
        self.films.len()
    }

    /// Memory held, in bytes, about.
    pub fn memory_bytes(&self) -> usize {
        self.keywords.memory_bytes() + self.films.memory_bytes()
    }
}

#[cfg(test)]
mod tests;
