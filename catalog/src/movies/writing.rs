//! Queries that write movies. Each puts what recommendations must learn into the outbox.

use diesel::prelude::*;
use storage::DbConnection;

use super::{FilmId, Moment, Movie, MovieDraft, outbox, reading, schema::movies};

/// Adds a movie.
///
/// # Errors
///
/// If the database fails, or there is a movie of that id.
pub fn create(
    conn: &mut DbConnection,
    id: &FilmId,
    draft: &MovieDraft,
    created_at: Moment,
    now: Moment,
) -> QueryResult<Movie> {
    let version = now.micros();
    diesel::insert_into(movies::table)
        .values((
            movies::id.eq(id.as_str()),
            movies::title.eq(&draft.title),
            movies::description.eq(&draft.description),
            movies::genre.eq(&draft.genre),
            movies::rating.eq(draft.rating),
            movies::release_year.eq(&draft.release_year),
            movies::created_at.eq(created_at.date_time()),
            movies::updated_at.eq(created_at.date_time()),
            movies::is_recommended.eq(false),
            movies::version.eq(version),
        ))
        .execute(conn)?;
    outbox::push(conn, id, version, false)?;
    Ok(Movie {
        id: id.clone(),
        title: draft.title.clone(),
        description: draft.description.clone(),
        genre: draft.genre.clone(),
        rating: draft.rating,
        release_year: draft.release_year.clone(),
        created_at: created_at.date_time(),
        updated_at: created_at.date_time(),
        is_recommended: false,
        version,
    })
}

/// Replaces what is said about a movie. `None` if there is no such movie.
///
/// # Errors
///
/// If the database fails.
pub fn update(
    conn: &mut DbConnection,
    id: &FilmId,
    draft: &MovieDraft,
    now: Moment,
) -> QueryResult<Option<Movie>> {
    let Some(version) = next_version(conn, id, now)? else {
        return Ok(None);
    };
    diesel::update(movies::table.find(id.as_str()))
        .set((
            movies::title.eq(&draft.title),
            movies::description.eq(&draft.description),
            movies::genre.eq(&draft.genre),
            movies::rating.eq(draft.rating),
            movies::release_year.eq(&draft.release_year),
            movies::updated_at.eq(now.date_time()),
            movies::version.eq(version),
        ))
        .execute(conn)?;
    outbox::push(conn, id, version, false)?;
    reading::get(conn, id)
}

/// Deletes a movie. False if there is no such movie.
///
/// # Errors
///
/// If the database fails.
pub fn delete(conn: &mut DbConnection, id: &FilmId, now: Moment) -> QueryResult<bool> {
    let Some(version) = next_version(conn, id, now)? else {
        return Ok(false);
    };
    diesel::delete(movies::table.find(id.as_str())).execute(conn)?;
    outbox::push(conn, id, version, true)?;
    Ok(true)
}

/// The version of the next write: the time, unless the clock is behind the movie's last write.
/// Takes the movie's lock first, so that no two writes find the same last one.
fn next_version(conn: &mut DbConnection, id: &FilmId, now: Moment) -> QueryResult<Option<i64>> {
    let movie = movies::table.find(id.as_str());
    let locked = diesel::update(movie)
        .set(movies::version.eq(movies::version + 1))
        .execute(conn)?;
    if locked == 0 {
        return Ok(None);
    }
    let least: i64 = movie.select(movies::version).get_result(conn)?;
    Ok(Some(least.max(now.micros())))
}

/// Whether somebody is recommended a movie, as an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The movie's id, as the event has it.
    pub movie_id: String,
    /// What the event says.
    pub is_recommended: bool,
    /// The event's version; events of older peers have none.
    pub version: Option<i64>,
}

/// Applies an event unless a newer one has been applied already. A movie that is not there is passed
/// over.
///
/// # Errors
///
/// If the database fails.
pub fn apply_flag(conn: &mut DbConnection, flag: &Flag) -> QueryResult<()> {
    let movie = movies::table.find(flag.movie_id.as_str());
    let recommended = movies::is_recommended.eq(flag.is_recommended);
    match flag.version {
        None => diesel::update(movie).set(recommended).execute(conn)?,
        Some(version) => diesel::update(movie)
            .filter(
                movies::recommended_version
                    .is_null()
                    .or(movies::recommended_version.lt(version)),
            )
            .set((recommended, movies::recommended_version.eq(version)))
            .execute(conn)?,
    };
    Ok(())
}

/// Writes to another movie than this what it holds already, to see whether the database takes writes.
///
/// # Errors
///
/// If the database fails.
pub fn try_out(conn: &mut DbConnection, but: &str) -> QueryResult<()> {
    let newest = movies::table.order((movies::created_at.desc(), movies::id.desc()));
    let others = newest.filter(movies::id.ne(but)).select(movies::id);
    let other: Option<String> = others.first(conn).optional()?;
    diesel::update(movies::table.find(other.unwrap_or_default()))
        .set(movies::is_recommended.eq(movies::is_recommended))
        .execute(conn)?;
    Ok(())
}
