//! Pages far down the list, at about the cost of the first.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::DbConnection;

use super::{
    Movie,
    reading::{self, ESCAPE, lower, pattern},
    schema::movies::dsl::{created_at, genre, id, movies},
};

/// How many movies are between two keys of the keyset.
const EVERY: usize = 500;

/// Every so many movies of the list one, as far down as somebody has looked: where to begin reading
/// instead of counting from the top.
#[derive(Debug, Clone, Default)]
pub struct Keyset {
    /// Only movies whose genre contains this are counted, if it is given.
    part_of_genre: Option<String>,
    known: Vec<(NaiveDateTime, String)>,
}

impl Keyset {
    /// No keys yet of the list of a genre, or of all movies.
    pub fn of(part_of_genre: Option<String>) -> Self {
        Self {
            part_of_genre,
            known: Vec::new(),
        }
    }

    /// At most `limit` movies, newest first, after the `offset` newest ones. Keyset on the way that
    /// were not known yet become known.
    ///
    /// Movies without a time of addition, which only programs other than this one write, are found
    /// above the first key alone.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn page(
        &mut self,
        conn: &mut DbConnection,
        offset: i64,
        limit: i64,
    ) -> QueryResult<Vec<Movie>> {
        let offset = usize::try_from(offset).unwrap_or_default();
        let passed = offset / EVERY;
        while self.known.len() < passed {
            match self.next(conn)? {
                Some(key) => self.known.push(key),
                None => return Ok(Vec::new()),
            }
        }
        let key = passed.checked_sub(1).and_then(|last| self.known.get(last));
        let ids = self.list(conn, key, offset % EVERY, limit)?;
        let ids: Vec<String> = ids.into_iter().map(|(_, movie_id)| movie_id).collect();
        reading::get_in_order(conn, &ids)
    }

    /// The movie so many places below the last key.
    fn next(&self, conn: &mut DbConnection) -> QueryResult<Option<(NaiveDateTime, String)>> {
        let mut found = self.list(conn, self.known.last(), EVERY - 1, 1)?;
        Ok(found
            .pop()
            .and_then(|(time, movie_id)| Some((time?, movie_id))))
    }

    fn list(
        &self,
        conn: &mut DbConnection,
        after: Option<&(NaiveDateTime, String)>,
        offset: usize,
        limit: i64,
    ) -> QueryResult<Vec<Listed>> {
        let mut list = movies
            .select((created_at, id))
            .order((created_at.desc(), id.desc()))
            .offset(i64::try_from(offset).unwrap_or(i64::MAX))
            .limit(limit)
            .into_boxed();
        if let Some((time, movie_id)) = after {
            // The first condition is one range of the index, which the second alone is not.
            list = list
                .filter(created_at.le(*time))
                .filter(created_at.lt(*time).or(id.lt(movie_id)));
        }
        if let Some(wanted) = &self.part_of_genre {
            let contains = lower(genre).like(pattern(wanted)).escape(ESCAPE);
            list = list.filter(contains);
        }
        list.load(conn)
    }
}

type Listed = (Option<NaiveDateTime>, String);
