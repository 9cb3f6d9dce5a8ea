//! The genres of films, one row each, so that the films of a genre are one range of an index.
//!
//! A film's genre is a text such as `Drama, Crime`. Its entries are folded in Rust and compared as
//! bytes, so SQLite and MySQL answer alike in every script. The rows are written with the film;
//! [`catch_up`] writes those of films that programs without this table wrote.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::genres::genres;
use storage::{DbConnection, each_backend};

use super::schema::{movie_genres, movies};

/// How many rows one statement writes at most.
const ROWS_AT_ONCE: usize = 1_000;
/// How many films [`catch_up`] brings up to date in one transaction.
const BATCH: i64 = 500;

/// Which genres a film must have to be listed: all the entries of a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GenreFilter {
    pub(super) first: String,
    pub(super) others: Vec<String>,
}

impl GenreFilter {
    /// Reads what is looked for; `None` if that has no entries, and so all films are meant.
    pub fn parse(text: &str) -> Option<Self> {
        let mut folded = genres(text).into_iter().map(|genre| genre.folded);
        Some(Self {
            first: folded.next()?,
            others: folded.collect(),
        })
    }

    /// All the genres, folded.
    pub(super) fn entries(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// A row of the table.
#[derive(Insertable)]
#[diesel(table_name = movie_genres)]
struct FilmGenre<'a> {
    movie_id: &'a str,
    genre: String,
    created_at: Option<NaiveDateTime>,
}

/// What the rows of a film are made of: id, time of addition, genre text.
pub(super) type Listed<'a> = (&'a str, Option<NaiveDateTime>, &'a str);

/// Writes the rows of films that have none yet, in the transaction that writes the films.
pub(super) fn insert(conn: &mut DbConnection, listed: &[Listed<'_>]) -> QueryResult<()> {
    let rows: Vec<FilmGenre<'_>> = listed
        .iter()
        .flat_map(|&(movie_id, created_at, text)| {
            genres(text).into_iter().map(move |genre| FilmGenre {
                movie_id,
                genre: genre.folded,
                created_at,
            })
        })
        .collect();
    for rows in rows.chunks(ROWS_AT_ONCE) {
        each_backend!(conn, |conn| diesel::insert_into(movie_genres::table)
            .values(rows)
            .execute(conn))?;
    }
    Ok(())
}

/// Writes the rows of films again, for texts that may have changed.
pub(super) fn replace(conn: &mut DbConnection, listed: &[Listed<'_>]) -> QueryResult<()> {
    let ids = listed.iter().map(|(film_id, ..)| *film_id);
    diesel::delete(movie_genres::table.filter(movie_genres::movie_id.eq_any(ids))).execute(conn)?;
    insert(conn, listed)
}

/// Writes the rows of all films that other programs have written since, in transactions of a few
/// hundred films; run again after a crash it goes on. With nothing to do it reads one index.
///
/// # Errors
///
/// If the database fails.
pub fn catch_up(conn: &mut DbConnection) -> QueryResult<()> {
    if !any_unlisted(conn)? {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let listed = conn.write_transaction(|conn| list_some(conn, &after))?;
        match listed.into_iter().next_back() {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Whether the film's rows are those of another text than its present one.
macro_rules! unlisted {
    () => {
        movies::genre
            .is_not_null()
            .and(movies::genre.ne(""))
            .and(
                movies::listed_genre
                    .is_null()
                    .or(movies::listed_genre.ne(movies::genre)),
            )
            .or(movies::listed_genre
                .ne("")
                .and(movies::genre.is_null().or(movies::genre.eq(""))))
    };
}

/// Whether any film's rows are those of another text than its present one.
pub(crate) fn any_unlisted(conn: &mut DbConnection) -> QueryResult<bool> {
    let some = movies::table
        .filter(unlisted!())
        .select(movies::genre)
        .first::<Option<String>>(conn)
        .optional()?;
    Ok(some.is_some())
}

/// Brings the next films after that id up to date, in one transaction. Returns their ids in order.
pub(crate) fn list_some(conn: &mut DbConnection, after: &str) -> QueryResult<Vec<String>> {
    type Unlisted = (String, Option<String>, Option<NaiveDateTime>);
    let some = movies::table
        .filter(movies::id.gt(after))
        .filter(unlisted!())
        .order(movies::id)
        .limit(BATCH)
        .select((movies::id, movies::genre, movies::created_at));
    let some: Vec<Unlisted> = match conn {
        DbConnection::Sqlite(conn) => some.load(conn)?,
        // Another catalog may write one of them at this moment.
        DbConnection::Mysql(conn) => some.for_update().load(conn)?,
    };
    if some.is_empty() {
        // A statement about no ids would look at every row.
        return Ok(Vec::new());
    }
    let listed: Vec<Listed<'_>> = some
        .iter()
        .map(|(id, text, created_at)| {
            let text = text.as_deref().unwrap_or_default();
            (id.as_str(), *created_at, text)
        })
        .collect();
    replace(conn, &listed)?;
    let ids = listed.iter().map(|(id, ..)| *id);
    diesel::update(movies::table.filter(movies::id.eq_any(ids)))
        .set(movies::listed_genre.eq(movies::genre))
        .execute(conn)?;
    Ok(some.into_iter().map(|(id, ..)| id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_every_entry_that_is_asked_for() {
        assert_eq!(GenreFilter::parse(" , "), None);
        let filter = GenreFilter::parse("Drama, CRIME").unwrap();
        assert_eq!(
            (filter.first.as_str(), filter.others),
            ("drama", vec!["crime".into()])
        );
    }
}
