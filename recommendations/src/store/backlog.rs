//! Matching that was begun and not finished.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{BATCH, schema::backlog, texts};

/// What is to be gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The users of a film, from the user `from` on.
    Film {
        /// The film.
        film: FilmId,
        /// The first user that was not looked at.
        from: UserId,
    },
    /// The films of a preference, after the film `after`.
    Preference {
        /// The user.
        user: UserId,
        /// The keyword that was followed, or is not any more.
        keyword: String,
        /// The id of the last film that was looked at; empty before the first.
        after: String,
    },
}

/// What earlier releases keep in the column `refresh`: that a film's facts have to be copied into its rows. They are not copied
/// any more.
const REFRESH: bool = false;

type Row = (i64, Option<String>, Option<i32>, Option<String>, String);

/// The work on films that waits with ids above `after`, at most `limit` pieces, each with its id.
pub fn films_after(
    conn: &mut DbConnection,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<(i64, Work)>> {
    let rows: Vec<Row> = backlog::table
        .filter(backlog::film_id.is_not_null())
        .filter(backlog::id.gt(after))
        .order(backlog::id)
        .limit(limit)
        .select(COLUMNS)
        .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.0, work(row))).collect())
}

/// The work on preferences that waits after the keyword `after` of `user`, at most `limit` pieces, each with its id.
///
/// They are in the order of their index, so that the films that wait, which can be very many, are not read over.
pub fn preferences_after(
    conn: &mut DbConnection,
    (user, after): (UserId, &str),
    limit: i64,
) -> QueryResult<Vec<(i64, Work)>> {
    let is_later = backlog::user_id.gt(user.0).or(backlog::keyword.gt(after));
    let rows: Vec<Row> = backlog::table
        .filter(backlog::user_id.ge(user.0))
        .filter(is_later)
        .order((backlog::user_id, backlog::keyword))
        .limit(limit)
        .select(COLUMNS)
        .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.0, work(row))).collect())
}

/// Whether work on a keyword of `user` waits.
pub fn waits_for(conn: &mut DbConnection, user: UserId) -> QueryResult<bool> {
    let row: Option<i64> = backlog::table
        .filter(backlog::user_id.eq(user.0))
        .select(backlog::id)
        .first(conn)
        .optional()?;
    Ok(row.is_some())
}

/// How far the work with `id` is, unless it is finished.
pub fn find(conn: &mut DbConnection, id: i64) -> QueryResult<Option<Work>> {
    let row: Option<Row> = backlog::table
        .filter(backlog::id.eq(id))
        .select(COLUMNS)
        .get_result(conn)
        .optional()?;
    Ok(row.map(work))
}

/// Those of `films` for which work waits.
pub fn of_films(conn: &mut DbConnection, films: &[FilmId]) -> QueryResult<HashSet<FilmId>> {
    let column = backlog::film_id.assume_not_null();
    let mut found: Vec<String> = Vec::new();
    match conn {
        DbConnection::Sqlite(conn) => {
            for film in films {
                let rows = backlog::table.filter(backlog::film_id.eq(film.as_str()));
                found.extend(rows.select(column).load(conn)?);
            }
        }
        DbConnection::Mysql(conn) => {
            for films in films.chunks(BATCH) {
                let rows = backlog::table.filter(backlog::film_id.eq_any(texts(films)));
                found.extend(rows.select(column).load(conn)?);
            }
        }
    }
    Ok(found.iter().map(|film| FilmId::stored(film)).collect())
}

/// Forgets the work for `films`.
pub fn clear_films(conn: &mut DbConnection, films: &[FilmId]) -> QueryResult<()> {
    for films in films.chunks(BATCH) {
        diesel::delete(backlog::table.filter(backlog::film_id.eq_any(texts(films))))
            .execute(conn)?;
    }
    Ok(())
}

/// Puts `work` down, in place of what there was for the same film or preference.
pub fn put(conn: &mut DbConnection, work: &Work, now: NaiveDateTime) -> QueryResult<()> {
    clear(conn, work)?;
    match work {
        Work::Film { film, from } => diesel::insert_into(backlog::table)
            .values((
                backlog::film_id.eq(film.as_str()),
                backlog::position.eq(from.to_string()),
                backlog::refresh.eq(REFRESH),
                backlog::created_at.eq(now),
            ))
            .execute(conn)?,
        Work::Preference {
            user,
            keyword,
            after,
        } => diesel::insert_into(backlog::table)
            .values((
                backlog::user_id.eq(user.0),
                backlog::keyword.eq(keyword),
                backlog::position.eq(after),
                backlog::refresh.eq(REFRESH),
                backlog::created_at.eq(now),
            ))
            .execute(conn)?,
    };
    Ok(())
}

/// Forgets the work for the film or preference of `work`.
pub fn clear(conn: &mut DbConnection, work: &Work) -> QueryResult<()> {
    match work {
        Work::Film { film, .. } => {
            diesel::delete(backlog::table.filter(backlog::film_id.eq(film.as_str())))
                .execute(conn)?
        }
        Work::Preference { user, keyword, .. } => diesel::delete(
            backlog::table
                .filter(backlog::user_id.eq(user.0))
                .filter(backlog::keyword.eq(keyword)),
        )
        .execute(conn)?,
    };
    Ok(())
}

const COLUMNS: (
    backlog::id,
    backlog::film_id,
    backlog::user_id,
    backlog::keyword,
    backlog::position,
) = (
    backlog::id,
    backlog::film_id,
    backlog::user_id,
    backlog::keyword,
    backlog::position,
);

fn work(row: Row) -> Work {
    let (_, film, user, keyword, position) = row;
    match film {
        Some(film) => Work::Film {
            film: FilmId::stored(&film),
            from: UserId(position.parse().unwrap_or(i32::MIN)),
        },
        None => Work::Preference {
            user: UserId(user.unwrap_or_default()),
            keyword: keyword.unwrap_or_default(),
            after: position,
        },
    }
}
