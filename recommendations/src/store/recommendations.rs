//! Which film is recommended to which user.

use std::{collections::HashSet, ops::RangeInclusive};

use chrono::NaiveDateTime;
use diesel::{dsl::sql, prelude::*, result::Error, sql_types::BigInt};
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{
    BATCH,
    films::Film,
    numbers,
    schema::{films as film_table, recommendations},
    statements, texts,
};

/// What changes whenever a user's recommendations come or go: their number, and the highest and the sum of their row ids. An id is
/// never given twice, but a higher one may be seen before a lower one that was given earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many films are recommended.
    pub total: i64,
    /// The highest row id.
    pub newest: Option<i64>,
    /// All row ids together.
    pub ids: i64,
}

const SUM_OF_IDS: &str = "CAST(COALESCE(SUM(recommendations.id), 0) AS SIGNED)";

/// The first `limit` of the users in `range` that `film` is recommended to, in order.
pub fn users_of_film(
    conn: &mut DbConnection,
    film: &FilmId,
    range: RangeInclusive<UserId>,
    limit: i64,
) -> QueryResult<Vec<UserId>> {
    let users: Vec<i32> = recommendations::table
        .filter(recommendations::film_id.eq(film.as_str()))
        .filter(recommendations::user_id.between(range.start().0, range.end().0))
        .order(recommendations::user_id)
        .limit(limit)
        .select(recommendations::user_id)
        .load(conn)?;
    Ok(users.into_iter().map(UserId).collect())
}

/// The user at place `offset` among those from `from` on that `film` is recommended to, in order.
pub fn nth_user_of_film(
    conn: &mut DbConnection,
    film: &FilmId,
    from: UserId,
    offset: usize,
) -> QueryResult<Option<UserId>> {
    let user: Option<i32> = recommendations::table
        .filter(recommendations::film_id.eq(film.as_str()))
        .filter(recommendations::user_id.ge(from.0))
        .order(recommendations::user_id)
        .offset(offset as i64)
        .limit(1)
        .select(recommendations::user_id)
        .first(conn)
        .optional()?;
    Ok(user.map(UserId))
}

/// A stored recommendation: the row's id, the user, the film.
pub type Stored = (i64, UserId, FilmId);

/// All recommendations of `films`, which the caller knows to be not too many.
pub fn of_films(conn: &mut DbConnection, films: &[FilmId]) -> QueryResult<Vec<Stored>> {
    let columns = (
        recommendations::id,
        recommendations::user_id,
        recommendations::film_id,
    );
    let mut found: Vec<(i64, i32, String)> = Vec::new();
    match conn {
        DbConnection::Sqlite(conn) => {
            for film in films {
                let rows =
                    recommendations::table.filter(recommendations::film_id.eq(film.as_str()));
                found.extend(rows.select(columns).load(conn)?);
            }
        }
        DbConnection::Mysql(conn) => {
            for films in films.chunks(BATCH) {
                let rows =
                    recommendations::table.filter(recommendations::film_id.eq_any(texts(films)));
                found.extend(rows.select(columns).load(conn)?);
            }
        }
    }
    let typed = found
        .into_iter()
        .map(|(id, user, film)| (id, UserId(user), FilmId::stored(&film)));
    Ok(typed.collect())
}

/// Some of the films that are recommended to `user`, at most `limit`.
pub fn some_of_user(
    conn: &mut DbConnection,
    user: UserId,
    limit: usize,
) -> QueryResult<Vec<FilmId>> {
    let films: Vec<String> = recommendations::table
        .filter(recommendations::user_id.eq(user.0))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(recommendations::film_id)
        .load(conn)?;
    Ok(films.iter().map(|film| FilmId::stored(film)).collect())
}

/// Those of `films` that are recommended to `user`.
pub fn films_of_user(
    conn: &mut DbConnection,
    user: UserId,
    films: &[FilmId],
) -> QueryResult<HashSet<FilmId>> {
    let mut found = HashSet::new();
    for films in films.chunks(BATCH) {
        let rows: Vec<String> = recommendations::table
            .filter(recommendations::user_id.eq(user.0))
            .filter(recommendations::film_id.eq_any(texts(films)))
            .select(recommendations::film_id)
            .load(conn)?;
        found.extend(rows.iter().map(|film| FilmId::stored(film)));
    }
    Ok(found)
}

/// Recommends films to users: pairs that are not stored yet.
///
/// A row also has the facts that the film has now, as the rows of older deployments do. They are not kept up to date, because
/// answers take a film's facts from `films`.
pub fn insert(
    conn: &mut DbConnection,
    pairs: &[(UserId, &Film)],
    now: NaiveDateTime,
) -> QueryResult<()> {
    let rows: Vec<_> = pairs
        .iter()
        .map(|(user, film)| NewRow::new(*user, film, now))
        .collect();
    insert_rows!(conn, recommendations::table, &rows);
    Ok(())
}

/// As [`insert`] for one film, but users who have it already keep it; returns how many did not.
pub fn insert_missing(
    conn: &mut DbConnection,
    film: &Film,
    users: &[UserId],
    now: NaiveDateTime,
) -> QueryResult<usize> {
    let rows: Vec<_> = users
        .iter()
        .map(|user| NewRow::new(*user, film, now))
        .collect();
    let table = recommendations::table;
    let mut inserted = 0;
    match conn {
        DbConnection::Sqlite(conn) => {
            for row in &rows {
                let row = diesel::insert_or_ignore_into(table).values(row);
                inserted += row.execute(conn)?;
            }
        }
        DbConnection::Mysql(conn) => {
            for rows in statements(&rows) {
                let rows = diesel::insert_or_ignore_into(table).values(rows);
                inserted += rows.execute(conn)?;
            }
        }
    }
    // What is passed over must be there, or it was not written for another reason.
    if inserted < users.len() {
        let there = count_of(conn, &film.id, users)?;
        if there < users.len() {
            let reason = format!("of {} recommendations {there} could be stored", users.len());
            return Err(Error::QueryBuilderError(reason.into()));
        }
    }
    Ok(inserted)
}

/// How many of `users` `film` is recommended to.
fn count_of(conn: &mut DbConnection, film: &FilmId, users: &[UserId]) -> QueryResult<usize> {
    let mut count = 0;
    for users in users.chunks(BATCH) {
        let found: i64 = recommendations::table
            .filter(recommendations::film_id.eq(film.as_str()))
            .filter(recommendations::user_id.eq_any(numbers(users)))
            .count()
            .get_result(conn)?;
        count += usize::try_from(found).unwrap_or_default();
    }
    Ok(count)
}

/// Deletes the recommendations with these ids.
pub fn delete(conn: &mut DbConnection, ids: &[i64]) -> QueryResult<()> {
    for ids in ids.chunks(BATCH) {
        diesel::delete(recommendations::table.filter(recommendations::id.eq_any(ids)))
            .execute(conn)?;
    }
    Ok(())
}

/// Takes `film` from the recommendations of `users`; returns how many had it.
pub fn delete_users(
    conn: &mut DbConnection,
    film: &FilmId,
    users: &[UserId],
) -> QueryResult<usize> {
    let mut deleted = 0;
    for users in users.chunks(BATCH) {
        deleted += diesel::delete(
            recommendations::table
                .filter(recommendations::film_id.eq(film.as_str()))
                .filter(recommendations::user_id.eq_any(numbers(users))),
        )
        .execute(conn)?;
    }
    Ok(deleted)
}

/// Takes `films` from the recommendations of `user`.
pub fn delete_films(conn: &mut DbConnection, user: UserId, films: &[FilmId]) -> QueryResult<()> {
    for films in films.chunks(BATCH) {
        diesel::delete(
            recommendations::table
                .filter(recommendations::user_id.eq(user.0))
                .filter(recommendations::film_id.eq_any(texts(films))),
        )
        .execute(conn)?;
    }
    Ok(())
}

/// The films recommended to `user`, newest first, `offset` passed over: the id of each, and how many
/// bytes its text has.
pub fn page(
    conn: &mut DbConnection,
    user: UserId,
    offset: i64,
    limit: i64,
) -> QueryResult<Vec<(FilmId, i64)>> {
    let bytes = "OCTET_LENGTH(films.title) + OCTET_LENGTH(films.description)";
    let listed: Vec<(String, i64)> = recommendations::table
        .inner_join(film_table::table.on(film_table::film_id.eq(recommendations::film_id)))
        .filter(recommendations::user_id.eq(user.0))
        .filter(film_table::deleted.eq(false))
        .order((
            recommendations::created_at.desc(),
            recommendations::id.desc(),
        ))
        .offset(offset)
        .limit(limit)
        .select((film_table::film_id, sql::<BigInt>(bytes)))
        .load(conn)?;
    let typed = listed
        .into_iter()
        .map(|(film, bytes)| (FilmId::stored(&film), bytes));
    Ok(typed.collect())
}

/// Those of `films` that are recommended to `user`.
pub fn among(conn: &mut DbConnection, user: UserId, films: &[FilmId]) -> QueryResult<Vec<FilmId>> {
    let ids: Vec<&str> = films.iter().map(FilmId::as_str).collect();
    let found: Vec<String> = recommendations::table
        .filter(recommendations::user_id.eq(user.0))
        .filter(recommendations::film_id.eq_any(ids))
        .select(recommendations::film_id)
        .load(conn)?;
    Ok(found.iter().map(|film| FilmId::stored(film)).collect())
}

/// The fingerprint of the recommendations of `user`.
pub fn fingerprint(conn: &mut DbConnection, user: UserId) -> QueryResult<Fingerprint> {
    let (total, newest, ids) = recommendations::table
        .filter(recommendations::user_id.eq(user.0))
        .select((
            diesel::dsl::count_star(),
            diesel::dsl::max(recommendations::id),
            sql::<BigInt>(SUM_OF_IDS),
        ))
        .first(conn)?;
    Ok(Fingerprint { total, newest, ids })
}

/// The fingerprints of those of `users` that have recommendations.
pub fn fingerprints(
    conn: &mut DbConnection,
    users: &[UserId],
) -> QueryResult<Vec<(UserId, Fingerprint)>> {
    let mut found = Vec::new();
    for users in users.chunks(BATCH) {
        let rows: Vec<(i32, i64, Option<i64>, i64)> = recommendations::table
            .filter(recommendations::user_id.eq_any(numbers(users)))
            .group_by(recommendations::user_id)
            .select((
                recommendations::user_id,
                diesel::dsl::count_star(),
                diesel::dsl::max(recommendations::id),
                sql::<BigInt>(SUM_OF_IDS),
            ))
            .load(conn)?;
        found.extend(rows.into_iter().map(|(user, total, newest, ids)| {
            let fingerprint = Fingerprint { total, newest, ids };
            (UserId(user), fingerprint)
        }));
    }
    Ok(found)
}

#[derive(Insertable)]
#[diesel(table_name = recommendations)]
struct NewRow<'a> {
    user_id: i32,
    film_id: &'a str,
    title: &'a str,
    description: &'a str,
    genre: &'a str,
    rating: f32,
    release_year: &'a str,
    created_at: NaiveDateTime,
}

impl<'a> NewRow<'a> {
    fn new(user: UserId, film: &'a Film, created_at: NaiveDateTime) -> Self {
        let facts = &film.facts;
        Self {
            user_id: user.0,
            film_id: film.id.as_str(),
            title: &facts.title,
            description: &facts.description,
            genre: &facts.genre,
            rating: facts.rating,
            release_year: &facts.release_year,
            created_at,
        }
    }
}

impl super::NewRow for NewRow<'_> {
    fn size(&self) -> usize {
        self.description.len() + 500
    }
}
