//! Which preferences and films changed, in order: what replicas follow each other by.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::{DbConnection, each_backend};

use super::{NewRow, schema::changes, sequence};

const FILM: &str = "film";
const PREFERENCE: &str = "preference";
/// Numbers that were passed over, from the one that the keyword names to that of the row, both not included.
const GAP: &str = "gap";

/// Something that changed. How it is now has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A film came, changed or went.
    Film(FilmId),
    /// A user began or stopped to follow a keyword.
    Preference {
        /// The user.
        user: UserId,
        /// The keyword's text.
        keyword: String,
    },
}

type Row = (i64, Option<i32>, Option<String>, Option<String>);

/// Puts down that a film changed.
pub fn record_film(
    conn: &mut DbConnection,
    seq: i64,
    film: &FilmId,
    now: NaiveDateTime,
) -> QueryResult<()> {
    record_films(conn, &[(seq, film.clone())], now)
}

/// Puts down that films changed, each under its number.
pub fn record_films(
    conn: &mut DbConnection,
    films: &[(i64, FilmId)],
    now: NaiveDateTime,
) -> QueryResult<()> {
    let rows: Vec<FilmRow<'_>> = films
        .iter()
        .map(|(seq, film_id)| FilmRow {
            seq: *seq,
            kind: FILM,
            film_id: film_id.as_str(),
            created_at: now,
        })
        .collect();
    insert_rows!(conn, changes::table, &rows);
    Ok(())
}

/// Puts down that a preference changed.
pub fn record_preference(
    conn: &mut DbConnection,
    seq: i64,
    user: UserId,
    keyword: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let row = diesel::insert_into(changes::table).values((
        changes::seq.eq(seq),
        changes::kind.eq(PREFERENCE),
        changes::user_id.eq(user.0),
        changes::keyword.eq(keyword),
        changes::created_at.eq(now),
    ));
    row.execute(conn)?;
    Ok(())
}

/// Puts down that the numbers between `from` and `to` were passed over.
pub(super) fn record_gap(
    conn: &mut DbConnection,
    from: i64,
    to: i64,
    now: NaiveDateTime,
) -> QueryResult<()> {
    diesel::insert_into(changes::table)
        .values((
            changes::seq.eq(to),
            changes::kind.eq(GAP),
            changes::keyword.eq(from.to_string()),
            changes::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Whether this database has never given number `seq`, as a copy of it that is gone has.
pub(super) fn is_passed_over(conn: &mut DbConnection, seq: i64) -> QueryResult<bool> {
    let from: Option<String> = changes::table
        .filter(changes::seq.gt(seq))
        .filter(changes::kind.eq(GAP))
        .order(changes::seq)
        .select(changes::keyword.assume_not_null())
        .first(conn)
        .optional()?;
    let from = from.and_then(|from| from.parse::<i64>().ok());
    Ok(from.is_some_and(|from| from < seq))
}

/// A change with its number.
pub type Numbered = (i64, Change);

/// The first `limit` changes after number `seq`, each with its number.
pub fn after(conn: &mut DbConnection, seq: i64, limit: i64) -> QueryResult<Vec<Numbered>> {
    Ok(page_after(conn, seq, limit)?.0)
}

/// As [`after`]; returns also the number up to which it read, if there may be more after it.
pub fn page_after(
    conn: &mut DbConnection,
    seq: i64,
    limit: i64,
) -> QueryResult<(Vec<Numbered>, Option<i64>)> {
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
    let is_full = rows.len() as i64 == limit;
    let end = rows.last().map(|row| row.0).filter(|_| is_full);
    let known = rows.into_iter().filter_map(|row| match row {
        (seq, Some(user), Some(keyword), None) => {
            let user = UserId(user);
            Some((seq, Change::Preference { user, keyword }))
        }
        (seq, None, None, Some(film)) => Some((seq, Change::Film(FilmId::stored(&film)))),
        _ => None,
    });
    Ok((known.collect(), end))
}

/// The films that changed after number `seq`; at most `limit` changes are looked at.
pub fn films_after(conn: &mut DbConnection, seq: i64, limit: i64) -> QueryResult<Vec<FilmId>> {
    let films: Vec<String> = changes::table
        .filter(changes::seq.gt(seq))
        .filter(changes::kind.eq(FILM))
        .limit(limit)
        .select(changes::film_id.assume_not_null())
        .load(conn)?;
    Ok(films.iter().map(|film| FilmId::stored(film)).collect())
}

/// The users with a preference that changed after number `seq`, each with the number of the change; at
/// most `limit` changes are looked at, the oldest first.
pub fn user_changes_after(
    conn: &mut DbConnection,
    seq: i64,
    limit: i64,
) -> QueryResult<Vec<(i64, UserId)>> {
    let query = changes::table
        .filter(changes::seq.gt(seq))
        .filter(changes::kind.eq(PREFERENCE))
        .order(changes::seq)
        .limit(limit)
        .select((changes::seq, changes::user_id.assume_not_null()));
    let changes: Vec<(i64, i32)> = each_backend!(conn, |c| query.load(c))?;
    let typed = changes.into_iter().map(|(seq, user)| (seq, UserId(user)));
    Ok(typed.collect())
}

/// Whether the list does not lead on from number `seq`: changes after it may have been cut off, or it is a number of a copy of the
/// database that is gone. To be asked after the list was read.
pub fn lost_after(conn: &mut DbConnection, seq: i64) -> QueryResult<bool> {
    Ok(sequence::trimmed(conn)? > seq
        || sequence::current(conn)? < seq
        || is_passed_over(conn, seq)?)
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

#[derive(Insertable)]
#[diesel(table_name = changes)]
struct FilmRow<'a> {
    seq: i64,
    kind: &'a str,
    film_id: &'a str,
    created_at: NaiveDateTime,
}

impl NewRow for FilmRow<'_> {
    fn size(&self) -> usize {
        100
    }
}
