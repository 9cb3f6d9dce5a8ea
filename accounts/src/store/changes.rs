//! Whose credentials are not what they were, in order: what replicas follow each other by.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::changes, sequence};

/// Stores that the credentials of a person are not what they were.
pub fn record(
    conn: &mut DbConnection,
    number: i64,
    user: UserId,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let row = (
        changes::seq.eq(number),
        changes::user_id.eq(user.0),
        changes::created_at.eq(now),
    );
    diesel::insert_into(changes::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

/// What changed after a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whose credentials; in any order, and perhaps more than once.
    pub users: Vec<UserId>,
    /// The number up to which all changes were read.
    pub through: i64,
    /// The list does not lead on from the number: anything may have changed.
    pub is_lost: bool,
}

/// What changed after the number `seen`; at most `limit` changes are read.
pub fn after(conn: &mut DbConnection, seen: i64, limit: i64) -> QueryResult<Changed> {
    // Before the list, so that every change up to it is on the list.
    let current = sequence::current(conn)?;
    let rows: Vec<(i64, Option<i32>)> = changes::table
        .filter(changes::seq.gt(seen))
        .order(changes::seq)
        .limit(limit)
        .select((changes::seq, changes::user_id))
        .load(conn)?;
    // After the list: what is cut off meanwhile may not have been on it.
    let is_lost = sequence::trimmed(conn)? > seen || current < seen;
    let last = rows.last().map_or(seen, |(number, _)| *number);
    let is_full = rows.len() as i64 == limit;
    let through = match is_full {
        true => last,
        false => last.max(current),
    };
    Ok(Changed {
        users: rows
            .into_iter()
            .filter_map(|(_, user)| user.map(UserId))
            .collect(),
        through,
        is_lost,
    })
}

/// Cuts off changes that were made before that time, a part of them at a time; returns how many went.
pub fn clean(conn: &mut DbConnection, before: NaiveDateTime) -> QueryResult<usize> {
    let old: Vec<i64> = changes::table
        .filter(changes::seq.lt(before.and_utc().timestamp_micros()))
        .filter(changes::created_at.lt(before))
        .order(changes::seq)
        .limit(CLEANED_AT_ONCE)
        .select(changes::seq)
        .load(conn)?;
    let Some(last) = old.last() else {
        return Ok(0);
    };
    sequence::set_trimmed(conn, *last)?;
    diesel::delete(changes::table.filter(changes::seq.le(*last))).execute(conn)
}
