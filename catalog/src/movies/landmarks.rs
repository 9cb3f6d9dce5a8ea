//! Pages far down the list, at about the cost of the first.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::DbConnection;

use super::{
    Movie, reading,
    schema::movies::dsl::{created_at, id, movies},
};

/// How many movies are between two landmarks.
const EVERY: usize = 1_000;

/// Every thousandth movie of the list, as far down as somebody has looked: where to begin reading
/// instead of counting from the top.
#[derive(Debug, Clone, Default)]
pub struct Landmarks(Vec<(NaiveDateTime, String)>);

impl Landmarks {
    /// At most `limit` movies, newest first, after the `offset` newest ones. Landmarks on the way that
    /// were not known yet become known.
    ///
    /// Movies without a time of addition, which only programs other than this one write, are found
    /// above the first landmark alone.
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
        while self.0.len() < passed {
            match next(conn, self.0.last())? {
                Some(landmark) => self.0.push(landmark),
                None => return Ok(Vec::new()),
            }
        }
        let ids = match passed.checked_sub(1).and_then(|last| self.0.get(last)) {
            None => list(conn, offset, limit)?,
            Some(landmark) => list_after(conn, landmark, offset % EVERY, limit)?,
        };
        let ids: Vec<String> = ids.into_iter().map(|(_, movie_id)| movie_id).collect();
        reading::get_in_order(conn, &ids)
    }
}

type Listed = (Option<NaiveDateTime>, String);

/// The movie a thousand places below the landmark.
fn next(
    conn: &mut DbConnection,
    last: Option<&(NaiveDateTime, String)>,
) -> QueryResult<Option<(NaiveDateTime, String)>> {
    let mut found = match last {
        None => list(conn, EVERY - 1, 1)?,
        Some(landmark) => list_after(conn, landmark, EVERY - 1, 1)?,
    };
    Ok(found
        .pop()
        .and_then(|(time, movie_id)| Some((time?, movie_id))))
}

fn list(conn: &mut DbConnection, offset: usize, limit: i64) -> QueryResult<Vec<Listed>> {
    movies
        .select((created_at, id))
        .order((created_at.desc(), id.desc()))
        .offset(i64::try_from(offset).unwrap_or(i64::MAX))
        .limit(limit)
        .load(conn)
}

fn list_after(
    conn: &mut DbConnection,
    (time, movie_id): &(NaiveDateTime, String),
    offset: usize,
    limit: i64,
) -> QueryResult<Vec<Listed>> {
    movies
        .select((created_at, id))
        // The first condition is one range of the index, which the second alone is not.
        .filter(created_at.le(*time))
        .filter(created_at.lt(*time).or(id.lt(movie_id)))
        .order((created_at.desc(), id.desc()))
        .offset(i64::try_from(offset).unwrap_or(i64::MAX))
        .limit(limit)
        .load(conn)
}
