//! Which version of the rules of matching the stored rows follow, and their change to those of this program.
//!
//! Normal forms of keywords are computed again, a page a transaction; then all films go to the backlog, to be matched
//! again in the background. A program that was stopped in between begins anew. Rows by newer rules are left alone.

use std::collections::BTreeSet;

use diesel::{prelude::*, sql_types::Timestamp};
use storage::DbConnection;

use super::{
    BATCH,
    preferences::Stored,
    schema::{backlog, prefs},
    sequence, versions,
};
use crate::matching::{Keyword, RULES};

/// Whether the rows follow older rules than this program's.
pub(super) fn are_older(conn: &mut DbConnection) -> QueryResult<bool> {
    Ok(sequence::rules(conn)? < RULES)
}

/// Looks at the preferences with an id above `after`, at most `limit` of them. Users of whom one has another normal form
/// by the new rules lose the normal forms of all: of two spellings that have become one keyword the first has to stay.
/// Returns the id to go on after. After the last page the new rules are in force, and all is to be normalised from the
/// beginning.
pub(super) fn go_over(conn: &mut DbConnection, after: i32, limit: i64) -> QueryResult<i32> {
    let rows: Vec<Stored> = prefs::table
        .filter(prefs::id.gt(after))
        .order(prefs::id)
        .limit(limit)
        .select((prefs::id, prefs::user_id, prefs::keyword, prefs::normal))
        .load(conn)?;
    let is_other = |row: &&Stored| {
        let normal = row.normal.as_ref();
        normal.is_some_and(|normal| *normal != Keyword::normal_of(&row.keyword))
    };
    let users: BTreeSet<i32> = rows.iter().filter(is_other).map(|row| row.user).collect();
    let users: Vec<i32> = users.into_iter().collect();
    for users in users.chunks(BATCH) {
        diesel::update(prefs::table.filter(prefs::user_id.eq_any(users)))
            .set(prefs::normal.eq(None::<String>))
            .execute(conn)?;
    }
    match rows.last() {
        Some(last) if rows.len() as i64 == limit => Ok(last.id),
        _ => {
            adopt(conn)?;
            Ok(i32::MIN)
        }
    }
}

fn adopt(conn: &mut DbConnection) -> QueryResult<()> {
    let first = i32::MIN.to_string();
    diesel::update(backlog::table.filter(backlog::film_id.is_not_null()))
        .set(backlog::position.eq(&first))
        .execute(conn)?;
    // Those that were not matched yet are in nobody's recommendations.
    let others = format!(
        "INTO backlog (film_id, position, refresh, created_at)
            SELECT film_id, '{first}', FALSE, ? FROM films WHERE deleted = FALSE AND stated IS NOT NULL"
    );
    let now = versions::now();
    match conn {
        DbConnection::Sqlite(conn) => {
            let query = diesel::sql_query(format!("INSERT OR IGNORE {others}"));
            query.bind::<Timestamp, _>(now).execute(conn)?;
        }
        DbConnection::Mysql(conn) => {
            let query = diesel::sql_query(format!("INSERT IGNORE {others}"));
            query.bind::<Timestamp, _>(now).execute(conn)?;
        }
    }
    sequence::set_normalised(conn, i64::from(i32::MIN) - 1)?;
    sequence::set_rules(conn, RULES)
}
