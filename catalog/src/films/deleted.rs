//! Films that were deleted a short while ago, kept so that a deletion can be undone.
//!
//! A kept film also says which version its deletion had, so that a film that comes back under
//! the same id is newer than that, even when the clock has gone back.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::DbConnection;

use super::{
    ExternalId, FilmId, Moment, external_ids, reading,
    schema::deleted_movies::{self, dsl},
};

/// How long a deletion can be undone, in seconds.
pub const KEPT_FOR: i64 = 24 * 60 * 60;
/// How many films a deletion forgets at most of those that were kept for long enough.
const FORGOTTEN_AT_ONCE: i64 = 100;

/// A film as it was when it was deleted.
#[derive(Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = deleted_movies)]
pub(super) struct DeletedFilm {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) genre: Option<String>,
    pub(super) rating: Option<f32>,
    pub(super) release_year: Option<String>,
    pub(super) created_at: Option<NaiveDateTime>,
    pub(super) updated_at: Option<NaiveDateTime>,
    /// The version of the deletion.
    pub(super) version: i64,
    deleted_at: NaiveDateTime,
    /// JSON.
    pub(super) external_ids: Option<String>,
}

impl DeletedFilm {
    /// The ids elsewhere that the film had.
    pub(super) fn external_ids(&self) -> Vec<ExternalId> {
        let ids = self.external_ids.as_deref();
        let ids = ids.and_then(|ids| serde_json::from_str(ids).ok());
        ids.unwrap_or_default()
    }
}

/// The first moment from `now` on that is after every deletion that is kept: the time at which films
/// can be added under ids that may have been deleted.
///
/// # Errors
///
/// If the database fails.
pub fn after_deletions(conn: &mut DbConnection, now: Moment) -> QueryResult<Moment> {
    let last: Option<i64> = dsl::deleted_movies
        .select(diesel::dsl::max(dsl::version))
        .first(conn)?;
    Ok(last.map_or(now, |last| now.max(after(last))))
}

/// Returns title and year of a film that was deleted and can be brought back.
///
/// # Errors
///
/// If the database fails.
pub fn title_and_year(
    conn: &mut DbConnection,
    id: &FilmId,
) -> QueryResult<Option<(String, String)>> {
    let kept = dsl::deleted_movies.find(id.as_str());
    let kept: Option<(String, Option<String>)> = kept
        .select((dsl::title, dsl::release_year))
        .first(conn)
        .optional()?;
    Ok(kept.map(|(title, year)| (title, year.unwrap_or_default())))
}

/// Those of the films that are kept, with the versions of their deletions.
pub(super) fn kept(conn: &mut DbConnection, ids: &[String]) -> QueryResult<HashMap<String, i64>> {
    let kept: Vec<(String, i64)> = dsl::deleted_movies
        .filter(dsl::id.eq_any(ids))
        .select((dsl::id, dsl::version))
        .load(conn)?;
    Ok(kept.into_iter().collect())
}

/// Keeps a film, in the transaction that deletes it, and forgets some that were kept for long
/// enough.
pub(super) fn keep(
    conn: &mut DbConnection,
    id: &FilmId,
    version: i64,
    now: Moment,
) -> QueryResult<()> {
    let over: Vec<String> = dsl::deleted_movies
        .filter(dsl::deleted_at.lt(now.minus_seconds(KEPT_FOR).date_time()))
        .order(dsl::deleted_at)
        .limit(FORGOTTEN_AT_ONCE)
        .select(dsl::id)
        .load(conn)?;
    if !over.is_empty() {
        diesel::delete(dsl::deleted_movies.filter(dsl::id.eq_any(over))).execute(conn)?;
    }
    let Some(film) = reading::row(conn, id)? else {
        return Ok(());
    };
    let ids = external_ids::of_film(conn, id.as_str())?;
    let refused =
        |error: serde_json::Error| diesel::result::Error::SerializationError(Box::new(error));
    let ids = serde_json::to_string(&ids).map_err(refused)?;
    // A film of the sample may have been deleted, added again, and be deleted again.
    diesel::delete(dsl::deleted_movies.find(id.as_str())).execute(conn)?;
    let kept = DeletedFilm {
        id: film.id,
        title: film.title,
        description: film.description,
        genre: film.genre,
        rating: film.rating,
        release_year: film.release_year,
        created_at: film.created_at,
        updated_at: film.updated_at,
        version,
        deleted_at: now.date_time(),
        external_ids: Some(ids),
    };
    diesel::insert_into(dsl::deleted_movies)
        .values(kept)
        .execute(conn)?;
    Ok(())
}

fn after(version: i64) -> Moment {
    Moment::from_micros(version.saturating_add(1))
}

/// Takes out a kept film. Of two transactions that try only one gets it.
pub(super) fn take(conn: &mut DbConnection, id: &FilmId) -> QueryResult<Option<DeletedFilm>> {
    let kept = dsl::deleted_movies.find(id.as_str());
    let film: Option<DeletedFilm> = match conn {
        DbConnection::Sqlite(conn) => kept
            .select(DeletedFilm::as_select())
            .first(conn)
            .optional()?,
        DbConnection::Mysql(conn) => kept
            .select(DeletedFilm::as_select())
            .for_update()
            .first(conn)
            .optional()?,
    };
    if film.is_some() {
        diesel::delete(kept).execute(conn)?;
    }
    Ok(film)
}
