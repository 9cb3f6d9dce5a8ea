//! Matching that was begun and not finished.

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
        /// Whether the rows' copies of the film's facts are out of date.
        refresh: bool,
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

type Row = (
    i64,
    Option<String>,
    Option<i32>,
    Option<String>,
    String,
    bool,
);

/// The first piece of work with an id above `after`, and its id.
pub fn next(conn: &mut DbConnection, after: i64) -> QueryResult<Option<(i64, Work)>> {
    let row: Option<Row> = backlog::table
        .filter(backlog::id.gt(after))
        .order(backlog::id)
        .select(COLUMNS)
        .first(conn)
        .optional()?;
    Ok(row.map(|row| (row.0, work(row))))
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

/// The work that waits for any of `films`: the film, and whether the copies of its facts wait to be
/// brought up to date.
pub fn of_films(conn: &mut DbConnection, films: &[FilmId]) -> QueryResult<Vec<(FilmId, bool)>> {
    let columns = (backlog::film_id.assume_not_null(), backlog::refresh);
    let mut found: Vec<(String, bool)> = Vec::new();
    match conn {
        DbConnection::Sqlite(conn) => {
            for film in films {
                let rows = backlog::table.filter(backlog::film_id.eq(film.as_str()));
                found.extend(rows.select(columns).load(conn)?);
            }
        }
        DbConnection::Mysql(conn) => {
            for films in films.chunks(BATCH) {
                let rows = backlog::table.filter(backlog::film_id.eq_any(texts(films)));
                found.extend(rows.select(columns).load(conn)?);
            }
        }
    }
    let typed = found
        .into_iter()
        .map(|(film, refresh)| (FilmId::stored(&film), refresh));
    Ok(typed.collect())
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
        Work::Film {
            film,
            from,
            refresh,
        } => diesel::insert_into(backlog::table)
            .values((
                backlog::film_id.eq(film.as_str()),
                backlog::position.eq(from.to_string()),
                backlog::refresh.eq(*refresh),
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
                backlog::refresh.eq(false),
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
    backlog::refresh,
) = (
    backlog::id,
    backlog::film_id,
    backlog::user_id,
    backlog::keyword,
    backlog::position,
    backlog::refresh,
);

fn work(row: Row) -> Work {
    let (_, film, user, keyword, position, refresh) = row;
    match film {
        Some(film) => Work::Film {
            film: FilmId::stored(&film),
            from: UserId(position.parse().unwrap_or(i32::MIN)),
            refresh,
        },
        None => Work::Preference {
            user: UserId(user.unwrap_or_default()),
            keyword: keyword.unwrap_or_default(),
            after: position,
        },
    }
}
