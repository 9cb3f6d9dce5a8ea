//! Which preferences and films changed, in order: what replicas follow each other by.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::{DbConnection, each_backend};

use super::{schema::changes, sequence};

const FILM: &str = "film";
const PREFERENCE: &str = "preference";

/// Something that changed. How it is now has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A film came, changed or went.
    Film(String),
    /// A user began or stopped to follow a keyword.
    Preference {
        /// The user.
        user: i32,
        /// The keyword's text.
        keyword: String,
    },
}

type Row = (i64, Option<i32>, Option<String>, Option<String>);

/// Puts down that a film changed.
pub fn record_film(
    conn: &mut DbConnection,
    seq: i64,
    film: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let row = (
        changes::seq.eq(seq),
        changes::kind.eq(FILM),
        changes::film_id.eq(film),
        changes::created_at.eq(now),
    );
    each_backend!(conn, |c| {
        diesel::insert_into(changes::table).values(row).execute(c)
    })?;
    Ok(())
}

/// Puts down that a preference changed.
pub fn record_preference(
    conn: &mut DbConnection,
    seq: i64,
    user: i32,
    keyword: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    diesel::insert_into(changes::table)
        .values((
            changes::seq.eq(seq),
            changes::kind.eq(PREFERENCE),
            changes::user_id.eq(user),
            changes::keyword.eq(keyword),
            changes::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// The first `limit` changes after number `seq`, each with its number.
pub fn after(conn: &mut DbConnection, seq: i64, limit: i64) -> QueryResult<Vec<(i64, Change)>> {
    let rows: Vec<Row> = changes::table
        .filter(changes::seq.gt(seq))
        .order(changes::seq)
        .limit(limit)
        .select((
            changes::seq,
            changes::user_id,
            changes::keyword,
            changes::film_id,
        ))
        .load(conn)?;
    let known = rows.into_iter().filter_map(|row| match row {
        (seq, Some(user), Some(keyword), None) => Some((seq, Change::Preference { user, keyword })),
        (seq, None, None, Some(film)) => Some((seq, Change::Film(film))),
        _ => None,
    });
    Ok(known.collect())
}

/// The films that changed after number `seq`; at most `limit` changes are looked at.
pub fn films_after(conn: &mut DbConnection, seq: i64, limit: i64) -> QueryResult<Vec<String>> {
    changes::table
        .filter(changes::seq.gt(seq))
        .filter(changes::kind.eq(FILM))
        .limit(limit)
        .select(changes::film_id.assume_not_null())
        .load(conn)
}

/// Whether any preference changed after number `seq`. Mostly none has, and this is cheaper than to
/// ask which.
pub fn any_user_after(conn: &mut DbConnection, seq: i64) -> QueryResult<bool> {
    let newer = changes::table
        .filter(changes::seq.gt(seq))
        .filter(changes::kind.eq(PREFERENCE));
    each_backend!(conn, |c| diesel::select(diesel::dsl::exists(newer))
        .get_result(c))
}

/// The users of whom a preference changed after number `seq`; at most `limit` changes are looked at.
pub fn users_after(conn: &mut DbConnection, seq: i64, limit: i64) -> QueryResult<Vec<i32>> {
    changes::table
        .filter(changes::seq.gt(seq))
        .filter(changes::kind.eq(PREFERENCE))
        .limit(limit)
        .select(changes::user_id.assume_not_null())
        .load(conn)
}

/// Whether changes after number `seq` may have been cut off, so that the list has a gap. To be
/// asked after the list was read.
pub fn lost_after(conn: &mut DbConnection, seq: i64) -> QueryResult<bool> {
    Ok(sequence::trimmed(conn)? > seq)
}

/// Cuts off all changes but the newest `keep`; returns how many went.
pub fn trim(conn: &mut DbConnection, keep: i64) -> QueryResult<usize> {
    sequence::take(conn, 1)?;
    let through: Option<i64> = changes::table
        .order(changes::seq.desc())
        .offset(keep)
        .limit(1)
        .select(changes::seq)
        .first(conn)
        .optional()?;
    let Some(through) = through else {
        return Ok(0);
    };
    sequence::set_trimmed(conn, through)?;
    diesel::delete(changes::table.filter(changes::seq.le(through))).execute(conn)
}
