//! The outbox: changes of films that were not delivered to recommendations yet, written in the transaction of each change.

use std::collections::HashMap;

use diesel::{dsl::count, prelude::*};
use runtime::traces::Origin;
use storage::{DbConnection, each_backend};

use super::{
    Film, FilmId, reading,
    schema::movie_outbox::dsl::{
        deleted, movie_id, movie_outbox, parked_reason, request_id, seq, traceparent, version,
    },
};

/// The first version that is a time, in microseconds since 1970: older releases counted the edits of a film.
pub const FIRST_TIME: i64 = 1_000_000_000_000_000;

/// The newest state of a film that was not delivered to recommendations yet.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The film is as given; its version is the film's.
    Saved(Box<Film>),
    /// The film is deleted, as of this version.
    Deleted {
        /// The film that was.
        id: FilmId,
        /// The version of the deletion.
        version: i64,
    },
}

/// News of a film, and the requests that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// What is to be told.
    pub news: News,
    /// The request that wrote the newest of its versions.
    pub origin: Origin,
    /// Those that wrote the others, whose news this is, too.
    pub earlier: Vec<Origin>,
}

/// Some of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// One for each film, in the order of their oldest rows.
    pub news: Vec<Waiting>,
    /// Where to read on; `None` at the end of the outbox.
    pub next: Option<i64>,
}

impl News {
    /// Which film this is about.
    pub fn film_id(&self) -> &FilmId {
        match self {
            Self::Saved(film) => &film.id,
            Self::Deleted { id, .. } => id,
        }
    }

    /// The version that is told.
    pub fn version(&self) -> i64 {
        match self {
            Self::Saved(film) => film.version,
            Self::Deleted {
                version: deletion, ..
            } => *deletion,
        }
    }
}

/// A row: its number, its film, the request that wrote it and its place in the trace.
type Row = (i64, String, Option<String>, Option<String>);

/// Puts all films into the outbox once more, and all deletions that are still known, and returns how many films there are:
/// recommendations of an older time learn of what they lack, and ignore the rest. Does nothing to a database of a release without
/// an outbox, which the next start fills.
///
/// # Errors
///
/// If the database fails.
pub fn queue_all(conn: &mut DbConnection) -> QueryResult<usize> {
    let mut queued = 0;
    for (table, is_deletion) in [("deleted_movies", true), ("movies", false)] {
        if !(has_table(conn, "movie_outbox")? && has_table(conn, table)?) {
            continue;
        }
        let statement = format!(
            "INSERT INTO movie_outbox (movie_id, version, deleted) SELECT id, version, ? FROM {table} ORDER BY created_at, id"
        );
        let statement =
            diesel::sql_query(statement).bind::<diesel::sql_types::Bool, _>(is_deletion);
        let rows = statement.execute(conn)?;
        if !is_deletion {
            queued = rows;
        }
    }
    Ok(queued)
}

/// Whether a SQLite database has the table.
fn has_table(conn: &mut DbConnection, table: &str) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        tables: i64,
    }
    let found = "SELECT COUNT(*) AS tables FROM sqlite_schema WHERE type = 'table' AND name = ?";
    let found: Found = diesel::sql_query(found)
        .bind::<diesel::sql_types::Text, _>(table)
        .get_result(conn)?;
    Ok(found.tables > 0)
}

/// Puts a version of a film into the outbox; in the transaction that writes the film.
pub(super) fn push(
    conn: &mut DbConnection,
    id: &FilmId,
    written: i64,
    is_deletion: bool,
) -> QueryResult<()> {
    let origin = Origin::current();
    diesel::insert_into(movie_outbox)
        .values((
            movie_id.eq(id.as_str()),
            version.eq(written),
            deleted.eq(is_deletion),
            request_id.eq(origin.request_id()),
            traceparent.eq(origin.traceparent()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Puts the first version of several films into the outbox; in the transaction that adds them.
pub(super) fn push_all<'a>(
    conn: &mut DbConnection,
    ids: impl Iterator<Item = &'a FilmId>,
    written: i64,
) -> QueryResult<()> {
    let origin = Origin::current();
    let (id_of_request, trace) = (origin.request_id(), origin.traceparent());
    let rows: Vec<_> = ids
        .map(|id| {
            (
                movie_id.eq(id.as_str()),
                version.eq(written),
                deleted.eq(false),
                request_id.eq(id_of_request.as_deref()),
                traceparent.eq(trace.as_deref()),
            )
        })
        .collect();
    each_backend!(conn, |conn| diesel::insert_into(movie_outbox)
        .values(rows)
        .execute(conn))?;
    Ok(())
}

/// Reads up to `limit` rows from `from` on, the oldest first, and what the films are now: all versions
/// of a film become its newest one.
///
/// `from` serves to walk through the rows that there are. Beginning again at 0 finds those that
/// became visible behind the walker.
///
/// # Errors
///
/// If the database fails.
pub fn read(conn: &mut DbConnection, from: i64, limit: i64) -> QueryResult<Batch> {
    let rows: Vec<Row> = movie_outbox
        .filter(seq.ge(from).and(parked_reason.is_null()))
        .select((seq, movie_id, request_id, traceparent))
        .order(seq)
        .limit(limit)
        .load(conn)?;
    let full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
    let next = rows.last().filter(|_| full).map(|(last, ..)| last + 1);
    let mut ids = Vec::new();
    let mut origins: HashMap<String, Vec<Origin>> = HashMap::new();
    for (_, id, of_request, trace) in rows {
        let of_film = origins.entry(id.clone()).or_insert_with(|| {
            ids.push(id);
            Vec::new()
        });
        of_film.push(Origin::read(of_request.as_deref(), trace.as_deref()));
    }
    // Read after the rows: a film is never older than the newest of its rows that were seen.
    let mut saved: HashMap<String, Film> = reading::get_all(conn, &ids)?
        .into_iter()
        .map(|film| (film.id.to_string(), film))
        .collect();
    let mut news = Vec::with_capacity(ids.len());
    for id in ids {
        let told = match saved.remove(&id) {
            Some(film) => Some(News::Saved(Box::new(film))),
            None => deletion(conn, &id)?,
        };
        let mut earlier = origins.remove(&id).unwrap_or_default();
        let origin = earlier.pop().unwrap_or_default();
        news.extend(told.map(|news| Waiting {
            news,
            origin,
            earlier,
        }));
    }
    Ok(Batch { news, next })
}

/// What to tell of a film that is not there.
fn deletion(conn: &mut DbConnection, id: &str) -> QueryResult<Option<News>> {
    let rows: Vec<(i64, bool)> = movie_outbox
        .filter(movie_id.eq(id))
        .select((version, deleted))
        .load(conn)?;
    let told = rows.iter().filter(|row| row.1).map(|row| row.0).max();
    // Another program deleted the film: whatever version was told last, this is after it.
    let untold = rows.iter().map(|row| row.0).max().map(|last| last + 1);
    let Some(last) = told.or(untold) else {
        // Another catalog has delivered it meanwhile.
        return Ok(None);
    };
    let id = id
        .parse()
        .map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))?;
    Ok(Some(News::Deleted { id, version: last }))
}

/// Takes a film's versions up to the delivered one out of the outbox.
///
/// # Errors
///
/// If the database fails.
pub fn delivered(conn: &mut DbConnection, id: &FilmId, up_to: i64) -> QueryResult<()> {
    let rows = movie_outbox.filter(movie_id.eq(id.as_str()).and(version.le(up_to)));
    diesel::delete(rows).execute(conn)?;
    Ok(())
}

/// Sets a film's versions up to the refused one aside, with the reason.
///
/// # Errors
///
/// If the database fails.
pub fn park(conn: &mut DbConnection, id: &FilmId, up_to: i64, reason: &str) -> QueryResult<()> {
    let reason: String = reason.chars().take(500).collect();
    let rows = movie_outbox.filter(movie_id.eq(id.as_str()).and(version.le(up_to)));
    diesel::update(rows)
        .set(parked_reason.eq(reason))
        .execute(conn)?;
    Ok(())
}

/// Counts the versions that wait to be delivered, those that are set aside left out; no more than 100,000 of them.
///
/// # Errors
///
/// If the database fails.
pub fn count_waiting(conn: &mut DbConnection) -> QueryResult<i64> {
    storage::count_rows(conn, "movie_outbox WHERE parked_reason IS NULL")
}

/// The version that has waited for longest to be delivered.
///
/// # Errors
///
/// If the database fails.
pub fn oldest_version(conn: &mut DbConnection) -> QueryResult<Option<i64>> {
    movie_outbox
        .filter(parked_reason.is_null())
        .select(version)
        .order(seq)
        .first(conn)
        .optional()
}

/// How many films are set aside.
///
/// # Errors
///
/// If the database fails.
pub fn count_parked(conn: &mut DbConnection) -> QueryResult<i64> {
    movie_outbox
        .filter(parked_reason.is_not_null())
        .select(count(movie_id).aggregate_distinct())
        .get_result(conn)
}
