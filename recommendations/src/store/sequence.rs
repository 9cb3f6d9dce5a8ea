//! The order of all changes.

use diesel::{prelude::*, result::Error};
use storage::{DbConnection, each_backend};

use super::{
    changes,
    schema::sequences::dsl::{name, sequences, value},
    versions,
};
use crate::matching;

const CHANGES: &str = "changes";
const TRIMMED: &str = "trimmed";
const NORMALISED: &str = "normalised";
const RULES: &str = "rules";

/// Raises the last number to the wall clock, and above `seen`, a number that was given earlier. To be called in a transaction when a
/// program starts, and when the numbers have gone back.
///
/// A database that was restored from a backup would otherwise give numbers that the events of changes after
/// the backup have had, and catalogs would take the new events for old ones. The list of changes tells which numbers were
/// passed over: a replica whose last number is one of them knows changes that are gone.
pub fn raise(conn: &mut DbConnection, seen: i64) -> QueryResult<()> {
    // Before anything is read, as by all who take a number.
    advance(conn, 0)?;
    let (last, now) = (current(conn)?, versions::now());
    let reached = now.and_utc().timestamp_micros();
    let reached = reached.max(seen.saturating_add(1));
    if last < reached {
        changes::record_gap(conn, last, reached, now)?;
        set(conn, CHANGES, reached)?;
    }
    Ok(())
}

/// As [`raise`], for the start of a program. While another replica does not give the row free it is left to the matcher, which raises
/// the number, too, before it answers: a replica that is paused in a transaction does not keep others from starting.
pub(super) fn reach_clock(conn: &mut DbConnection) -> QueryResult<()> {
    match conn.transaction(|conn| raise(conn, 0)) {
        Err(error) if is_conflict(&error) => {
            tracing::debug!(%error, "the number of the last change is not raised yet: {error}");
            Ok(())
        }
        raised => raised,
    }
}

/// Whether MySQL gave up waiting for another transaction.
fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, info) if info.message().contains("try restarting transaction"))
}

/// Takes the next `count` numbers, at least one, and returns the first of them.
///
/// Call it before anything is read in a transaction: from here on, until the commit, no other
/// transaction changes anything, and what is read is what the earlier ones have left.
///
/// # Errors
///
/// Also if the stored rows follow newer rules of matching than this program's.
pub fn take(conn: &mut DbConnection, count: i64) -> QueryResult<i64> {
    Ok(take_place(conn, count)?.first)
}

fn advance(conn: &mut DbConnection, count: i64) -> QueryResult<()> {
    each_backend!(conn, |c| {
        diesel::update(sequences.filter(name.eq(CHANGES)))
            .set(value.eq(value + count))
            .execute(c)
    })?;
    Ok(())
}

/// What a group of changes has to know of the order before it begins.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The first of its numbers.
    pub first: i64,
    /// The number up to which the list of changes has been cut off.
    pub trimmed: i64,
}

/// As [`take`], and reads how far the list of changes reaches back.
pub fn take_place(conn: &mut DbConnection, count: i64) -> QueryResult<Place> {
    advance(conn, count)?;
    let rows: Vec<(String, i64)> =
        each_backend!(conn, |c| sequences.select((name, value)).load(c))?;
    let of = |which: &str| {
        let row = rows.iter().find(|(named, _)| named == which);
        row.map(|(_, number)| *number).ok_or(Error::NotFound)
    };
    if of(RULES)? > matching::RULES {
        let reason =
            "the database follows newer rules of matching: this release has to be replaced";
        return Err(Error::QueryBuilderError(reason.into()));
    }
    Ok(Place {
        first: of(CHANGES)? - count + 1,
        trimmed: of(TRIMMED)?,
    })
}

/// The number of the last change that was committed (or made by this transaction).
pub fn current(conn: &mut DbConnection) -> QueryResult<i64> {
    read(conn, CHANGES)
}

/// The number up to which the list of changes has been cut off.
pub fn trimmed(conn: &mut DbConnection) -> QueryResult<i64> {
    read(conn, TRIMMED)
}

pub(super) fn set_trimmed(conn: &mut DbConnection, seq: i64) -> QueryResult<()> {
    set(conn, TRIMMED, seq)
}

/// The id of the preference up to which all have their normal form.
pub(super) fn normalised(conn: &mut DbConnection) -> QueryResult<i64> {
    read(conn, NORMALISED)
}

pub(super) fn set_normalised(conn: &mut DbConnection, id: i64) -> QueryResult<()> {
    set(conn, NORMALISED, id)
}

/// The version of the rules of matching that the stored rows follow.
pub(super) fn rules(conn: &mut DbConnection) -> QueryResult<i64> {
    read(conn, RULES)
}

pub(super) fn set_rules(conn: &mut DbConnection, version: i64) -> QueryResult<()> {
    set(conn, RULES, version)
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
