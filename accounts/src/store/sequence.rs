//! The order of all changes, and the ids of people.

use chrono::{NaiveDateTime, SubsecRound, Utc};
use diesel::{prelude::*, result::Error};
use proto::UserId;
use storage::{DbConnection, each_backend};

use super::schema::sequences::dsl::{name, sequences, value};

const CHANGES: &str = "changes";
const TRIMMED: &str = "trimmed";
const USERS: &str = "users";

/// The time as the database can hold it.
pub fn now() -> NaiveDateTime {
    Utc::now().naive_utc().trunc_subsecs(6)
}

/// Takes the next number of the order of changes: the time in microseconds, or the one after the last if the clock has gone back. A
/// database that was restored from a backup does not give again what it gave after the backup.
///
/// Call it before anything is read in a transaction: from here on, until the commit, no other transaction changes anything, and
/// what is read is what the earlier ones have left.
///
/// # Errors
///
/// If the database fails.
pub fn take(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<i64> {
    let advance = value.eq(value + 1);
    each_backend!(conn, |c| {
        diesel::update(sequences.filter(name.eq(CHANGES)))
            .set(advance)
            .execute(c)
    })?;
    let next = read(conn, CHANGES)?;
    let clock = now.and_utc().timestamp_micros();
    if next >= clock {
        return Ok(next);
    }
    set(conn, CHANGES, clock)?;
    Ok(clock)
}

/// Takes the id of a new person. The owner's is the first.
///
/// # Errors
///
/// If the database fails, or no number is left.
pub fn next_user(conn: &mut DbConnection) -> QueryResult<UserId> {
    let next = read(conn, USERS)? + 1;
    set(conn, USERS, next)?;
    let number = i32::try_from(next).map_err(|error| Error::SerializationError(error.into()))?;
    Ok(UserId(number))
}

/// The number of the last change that was committed, or made by this transaction.
///
/// # Errors
///
/// If the database fails.
pub fn current(conn: &mut DbConnection) -> QueryResult<i64> {
    read(conn, CHANGES)
}

/// The number up to which the list of changes has been cut off.
///
/// # Errors
///
/// If the database fails.
pub fn trimmed(conn: &mut DbConnection) -> QueryResult<i64> {
    read(conn, TRIMMED)
}

pub(super) fn set_trimmed(conn: &mut DbConnection, number: i64) -> QueryResult<()> {
    set(conn, TRIMMED, number)
}

fn set(conn: &mut DbConnection, which: &str, to: i64) -> QueryResult<()> {
    diesel::update(sequences.filter(name.eq(which)))
        .set(value.eq(to))
        .execute(conn)?;
    Ok(())
}

fn read(conn: &mut DbConnection, which: &str) -> QueryResult<i64> {
    let row = sequences.filter(name.eq(which)).select(value);
    each_backend!(conn, |c| row.get_result(c))
}
