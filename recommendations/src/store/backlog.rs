//! Matching that was begun and not finished.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{BATCH, schema::backlog, texts};

/// A film, and from where on its users were not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFilm {
    /// The number of this piece of work.
    pub id: i64,
    /// The film.
    pub film: FilmId,
    /// The first user that was not looked at.
    pub from: UserId,
    /// The same as it is stored, which may be no number if a row was put down by hand.
    position: String,
}

/// A preference, and after which film its films were not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPreference {
    /// The number of this piece of work.
    pub id: i64,
    /// The user.
    pub user: UserId,
    /// The keyword that was followed, or is not any more.
    pub keyword: String,
    /// The id of the last film that was looked at; empty before the first.
    pub after: String,
}

/// A preference that waits, as it is stored.
#[derive(Queryable)]
struct PreferenceRow {
    id: i64,
    user: i32,
    keyword: String,
    position: String,
}

impl From<PreferenceRow> for WaitingPreference {
    fn from(row: PreferenceRow) -> Self {
        Self {
            id: row.id,
            user: UserId(row.user),
            keyword: row.keyword,
            after: row.position,
        }
    }
}

/// What earlier releases keep in the column `refresh`: that a film's facts have to be copied into its rows. They are not copied
/// any more.
const REFRESH: bool = false;

/// The films that wait with ids above `after`, at most `limit`.
pub fn films_after(
    conn: &mut DbConnection,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<WaitingFilm>> {
    let rows: Vec<(i64, String, String)> = backlog::table
        .filter(backlog::film_id.is_not_null())
        .filter(backlog::id.gt(after))
        .order(backlog::id)
        .limit(limit)
        .select((
            backlog::id,
            backlog::film_id.assume_not_null(),
            backlog::position,
        ))
        .load(conn)?;
    let films = rows.into_iter().map(|(id, film, position)| WaitingFilm {
        id,
        film: FilmId::stored(&film),
        from: UserId(position.parse().unwrap_or(i32::MIN)),
        position,
    });
    Ok(films.collect())
}

/// The preferences that wait after the keyword `after` of `user`, at most `limit`.
///
/// They are in the order of their index, so that the films that wait, which can be very many, are not read over.
pub fn preferences_after(
    conn: &mut DbConnection,
    (user, after): (UserId, &str),
    limit: i64,
) -> QueryResult<Vec<WaitingPreference>> {
    let is_later = backlog::user_id.gt(user.0).or(backlog::keyword.gt(after));
    let rows: Vec<PreferenceRow> = backlog::table
        .filter(backlog::user_id.ge(user.0))
        .filter(is_later)
        .order((backlog::user_id, backlog::keyword))
        .limit(limit)
        .select((
            backlog::id,
            backlog::user_id.assume_not_null(),
            backlog::keyword.assume_not_null(),
            backlog::position,
        ))
        .load(conn)?;
    Ok(rows.into_iter().map(WaitingPreference::from).collect())
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

/// How far the preference with `id` is, unless it is finished.
pub fn preference(conn: &mut DbConnection, id: i64) -> QueryResult<Option<WaitingPreference>> {
    let row: Option<PreferenceRow> = backlog::table
        .filter(backlog::id.eq(id))
        .filter(backlog::user_id.is_not_null())
        .select((
            backlog::id,
            backlog::user_id.assume_not_null(),
            backlog::keyword.assume_not_null(),
            backlog::position,
        ))
        .get_result(conn)
        .optional()?;
    Ok(row.map(WaitingPreference::from))
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

/// Puts down that the users of `film` from `from` on are to be looked at, in place of what there was for the film.
pub fn put_film(
    conn: &mut DbConnection,
    film: &FilmId,
    from: UserId,
    now: NaiveDateTime,
) -> QueryResult<()> {
    clear_films(conn, std::slice::from_ref(film))?;
    diesel::insert_into(backlog::table)
        .values((
            backlog::film_id.eq(film.as_str()),
            backlog::position.eq(from.to_string()),
            backlog::refresh.eq(REFRESH),
            backlog::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Takes the users up to `last` off a film that waits; tells whether they were still there.
pub fn take(conn: &mut DbConnection, waiting: &WaitingFilm, last: UserId) -> QueryResult<bool> {
    let row = backlog::table
        .filter(backlog::id.eq(waiting.id))
        .filter(backlog::film_id.eq(waiting.film.as_str()))
        .filter(backlog::position.eq(&waiting.position));
    let taken = match last.0.checked_add(1).map(UserId) {
        Some(next) => diesel::update(row)
            .set(backlog::position.eq(next.to_string()))
            .execute(conn)?,
        None => diesel::delete(row).execute(conn)?,
    };
    Ok(taken == 1)
}

/// Puts down that the films of a keyword of `user` after the film `after` are to be looked at, in place of what there was for
/// the keyword.
pub fn put_preference(
    conn: &mut DbConnection,
    (user, keyword): (UserId, &str),
    after: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    clear_preference(conn, user, keyword)?;
    diesel::insert_into(backlog::table)
        .values((
            backlog::user_id.eq(user.0),
            backlog::keyword.eq(keyword),
            backlog::position.eq(after),
            backlog::refresh.eq(REFRESH),
            backlog::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Forgets the work for a keyword of `user`.
pub fn clear_preference(conn: &mut DbConnection, user: UserId, keyword: &str) -> QueryResult<()> {
    diesel::delete(
        backlog::table
            .filter(backlog::user_id.eq(user.0))
            .filter(backlog::keyword.eq(keyword)),
    )
    .execute(conn)?;
    Ok(())
}
