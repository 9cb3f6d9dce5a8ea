//! The order of all changes.

use diesel::prelude::*;
use storage::{DbConnection, each_backend};

use super::schema::sequences::dsl::{name, sequences, value};

const CHANGES: &str = "changes";
const TRIMMED: &str = "trimmed";

/// Takes the next `count` numbers, at least one, and returns the first of them.
///
/// Call it before anything is read in a transaction: from here on, until the commit, nobody else
/// changes anything, and what is read after it is what everybody before has left.
pub fn take(conn: &mut DbConnection, count: i64) -> QueryResult<i64> {
    each_backend!(conn, |c| {
        diesel::update(sequences.filter(name.eq(CHANGES)))
            .set(value.eq(value + count))
            .execute(c)
    })?;
    Ok(current(conn)? - count + 1)
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
    diesel::update(sequences.filter(name.eq(TRIMMED)))
        .set(value.eq(seq))
        .execute(conn)?;
    Ok(())
}

fn read(conn: &mut DbConnection, which: &str) -> QueryResult<i64> {
    let row = sequences.filter(name.eq(which)).select(value);
    each_backend!(conn, |c| row.get_result(c))
}
