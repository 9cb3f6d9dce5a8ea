//! Status events that were decided and are not known to be with the broker yet.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::{
    FilmId,
    events::{RecommendationStatus, STATUS_TOPIC},
};
use runtime::traces::Origin;
use storage::DbConnection;

use super::{BATCH, NewRow, schema::outbox};

/// An event with its place in the order of changes.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Waiting {
    /// Its number, which is also the event's version.
    pub seq: i64,
    /// Where it goes.
    pub topic: String,
    /// The id of the film that it is about.
    pub key: String,
    /// Its value, as the contract has it.
    pub payload: String,
    /// The id of the request that led to it.
    pub request_id: Option<String>,
    /// The place of that in the trace of the request.
    pub traceparent: Option<String>,
}

impl Waiting {
    /// The request that led to it.
    pub fn origin(&self) -> Origin {
        Origin::read(self.request_id.as_deref(), self.traceparent.as_deref())
    }
}

tokio::task_local! {
    static ORIGINS: HashMap<FilmId, Origin>;
}

/// Runs `work`, which saves films for several requests at once: that of each film is kept with its event.
pub fn for_films<T>(origins: HashMap<FilmId, Origin>, work: impl FnOnce() -> T) -> T {
    ORIGINS.sync_scope(origins, work)
}

/// The request for which the event of a film is stored.
fn origin_of(film: &FilmId) -> Origin {
    let of_film = ORIGINS.try_with(|origins| origins.get(film).cloned());
    of_film.ok().flatten().unwrap_or_else(Origin::current)
}

/// A status to be told: the number of its event, the film, and whether it is recommended to any user.
pub type Status = (i64, FilmId, bool);

/// Stores the status events of films that are to be published.
pub fn put(conn: &mut DbConnection, statuses: &[Status], now: NaiveDateTime) -> QueryResult<()> {
    let rows: Vec<Row<'_>> = statuses
        .iter()
        .map(|(seq, film, is_recommended)| {
            let status = RecommendationStatus {
                film_id: film.as_str().into(),
                is_recommended: *is_recommended,
            };
            let origin = origin_of(film);
            Row {
                seq: *seq,
                topic: STATUS_TOPIC,
                event_key: film.as_str(),
                payload: String::from_utf8_lossy(&status.to_payload()).into_owned(),
                created_at: now,
                request_id: origin.request_id(),
                traceparent: origin.traceparent(),
            }
        })
        .collect();
    insert_rows!(conn, outbox::table, &rows);
    Ok(())
}

/// The `limit` oldest events, in order.
pub fn oldest(conn: &mut DbConnection, limit: i64) -> QueryResult<Vec<Waiting>> {
    outbox::table
        .order(outbox::seq)
        .limit(limit)
        .select((
            outbox::seq,
            outbox::topic,
            outbox::event_key,
            outbox::payload,
            outbox::request_id,
            outbox::traceparent,
        ))
        .load(conn)
}

/// When the oldest event was decided, if any waits.
pub fn oldest_since(conn: &mut DbConnection) -> QueryResult<Option<NaiveDateTime>> {
    outbox::table
        .order(outbox::seq)
        .select(outbox::created_at)
        .first(conn)
        .optional()
}

/// Those of the films `ids` that have an event here.
pub fn pending_of(conn: &mut DbConnection, ids: &[String]) -> QueryResult<HashSet<String>> {
    let mut pending = HashSet::new();
    for ids in ids.chunks(BATCH) {
        let found: Vec<String> = outbox::table
            .filter(outbox::event_key.eq_any(ids))
            .select(outbox::event_key)
            .distinct()
            .load(conn)?;
        pending.extend(found);
    }
    Ok(pending)
}

/// Forgets the events up to number `seq`. Nothing below it can still come: commits are in order.
pub fn delete_through(conn: &mut DbConnection, seq: i64) -> QueryResult<usize> {
    diesel::delete(outbox::table.filter(outbox::seq.le(seq))).execute(conn)
}

#[derive(Insertable)]
#[diesel(table_name = outbox)]
struct Row<'a> {
    seq: i64,
    topic: &'a str,
    event_key: &'a str,
    payload: String,
    created_at: NaiveDateTime,
    request_id: Option<String>,
    traceparent: Option<String>,
}

impl NewRow for Row<'_> {
    fn size(&self) -> usize {
        300 + self.request_id.as_ref().map_or(0, String::len) + 60
    }
}
