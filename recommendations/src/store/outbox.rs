//! Status events that were decided and are not known to be with the broker yet.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::events::{RecommendationStatus, STATUS_TOPIC};
use storage::{DbConnection, each_backend};

use super::schema::outbox;

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
}

/// Puts down that `film` is recommended to somebody now, or to nobody.
pub fn put(
    conn: &mut DbConnection,
    seq: i64,
    film: &str,
    is_recommended: bool,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let status = RecommendationStatus {
        film_id: film.into(),
        is_recommended,
    };
    let payload = String::from_utf8_lossy(&status.to_payload()).into_owned();
    let row = (
        outbox::seq.eq(seq),
        outbox::topic.eq(STATUS_TOPIC),
        outbox::event_key.eq(film),
        outbox::payload.eq(payload),
        outbox::created_at.eq(now),
    );
    each_backend!(conn, |c| {
        diesel::insert_into(outbox::table).values(row).execute(c)
    })?;
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
        ))
        .load(conn)
}

/// Forgets the events up to number `seq`. Nothing below it can still come: commits are in order.
pub fn delete_through(conn: &mut DbConnection, seq: i64) -> QueryResult<usize> {
    diesel::delete(outbox::table.filter(outbox::seq.le(seq))).execute(conn)
}
