//! Who did what to whom.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use runtime::RequestId;
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::audit};

/// An entry.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Entry {
    pub number: i64,
    pub at: NaiveDateTime,
    pub actor_id: i32,
    pub actor: String,
    pub subject_id: i32,
    pub subject: String,
    pub action: String,
    /// JSON, without secrets.
    pub details: String,
    pub address: String,
    pub request_id: Option<String>,
}

impl Entry {
    /// What `actor` did, as the number of the transaction has it; nothing is known of it besides.
    pub fn new(number: i64, at: NaiveDateTime, action: &str, actor: (i32, &str)) -> Self {
        Self {
            number,
            at,
            actor_id: actor.0,
            actor: actor.1.to_owned(),
            subject_id: actor.0,
            subject: actor.1.to_owned(),
            action: action.to_owned(),
            details: "{}".to_owned(),
            address: String::new(),
            request_id: RequestId::current().map(|id| id.to_string()),
        }
    }
}

/// Adds an entry. There is one for each number of a change.
pub fn record(conn: &mut DbConnection, entry: &Entry) -> QueryResult<()> {
    diesel::insert_into(audit::table)
        .values(entry)
        .execute(conn)?;
    Ok(())
}

/// Returns entries before a number, the newest first; only those by or about `user`, if there is one.
pub fn before(
    conn: &mut DbConnection,
    number: i64,
    user: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<Entry>> {
    let mut entries = audit::table.select(Entry::as_select()).into_boxed();
    if number > 0 {
        entries = entries.filter(audit::number.lt(number));
    }
    if let Some(user) = user {
        entries = entries.filter(audit::actor_id.eq(user).or(audit::subject_id.eq(user)));
    }
    entries.order(audit::number.desc()).limit(limit).load(conn)
}

/// Deletes entries that were made before that time; returns how many.
pub fn clean(conn: &mut DbConnection, before: NaiveDateTime) -> QueryResult<usize> {
    let old: Vec<i64> = audit::table
        .filter(audit::number.lt(before.and_utc().timestamp_micros()))
        .order(audit::number)
        .limit(CLEANED_AT_ONCE)
        .select(audit::number)
        .load(conn)?;
    diesel::delete(audit::table.filter(audit::number.eq_any(old))).execute(conn)
}
