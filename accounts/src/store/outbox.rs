//! Events that are not known to be with the broker yet.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::{
    UserId,
    events::{ACCOUNTS_TOPIC, AccountDeleted},
};
use runtime::traces::Origin;
use storage::DbConnection;

use super::schema::outbox;

/// An event with its place in the order of changes.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Waiting {
    /// Its number, which is also the event's version.
    pub seq: i64,
    /// Where it goes.
    pub topic: String,
    /// The id of the user whom it is about.
    pub key: String,
    /// Its value.
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

/// Stores the event that an account was deleted.
pub fn put_deletion(
    conn: &mut DbConnection,
    number: i64,
    user: UserId,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let payload = AccountDeleted { user_id: user.0 }.to_payload();
    let origin = Origin::current();
    let row = (
        outbox::seq.eq(number),
        outbox::topic.eq(ACCOUNTS_TOPIC),
        outbox::event_key.eq(user.to_string()),
        outbox::payload.eq(String::from_utf8_lossy(&payload).into_owned()),
        outbox::created_at.eq(now),
        outbox::request_id.eq(origin.request_id()),
        outbox::traceparent.eq(origin.traceparent()),
    );
    diesel::insert_into(outbox::table)
        .values(row)
        .execute(conn)?;
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

/// When the oldest event was stored, if any waits.
pub fn oldest_since(conn: &mut DbConnection) -> QueryResult<Option<NaiveDateTime>> {
    outbox::table
        .order(outbox::seq)
        .select(outbox::created_at)
        .first(conn)
        .optional()
}

/// Forgets the events up to number `seq`. Nothing below it can still come: commits are in order.
pub fn delete_through(conn: &mut DbConnection, seq: i64) -> QueryResult<usize> {
    diesel::delete(outbox::table.filter(outbox::seq.le(seq))).execute(conn)
}
