//! Which user follows which keyword.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::{BATCH, numbers, schema::prefs};

/// The keywords of `user`, oldest first.
pub fn of_user(conn: &mut DbConnection, user: UserId) -> QueryResult<Vec<String>> {
    prefs::table
        .filter(prefs::user_id.eq(user.0))
        .order(prefs::id)
        .select(prefs::keyword)
        .load(conn)
}

/// The keywords of each of `users`; a user without any has an empty list.
pub fn of_users(
    conn: &mut DbConnection,
    users: &[UserId],
) -> QueryResult<BTreeMap<UserId, Vec<String>>> {
    let mut found: BTreeMap<UserId, Vec<String>> =
        users.iter().map(|user| (*user, Vec::new())).collect();
    for users in users.chunks(BATCH) {
        let rows: Vec<(i32, String)> = prefs::table
            .filter(prefs::user_id.eq_any(numbers(users)))
            .select((prefs::user_id, prefs::keyword))
            .load(conn)?;
        for (user, keyword) in rows {
            found.entry(UserId(user)).or_default().push(keyword);
        }
    }
    Ok(found)
}

/// Those of the preferences `pairs` that exist.
pub fn existing(
    conn: &mut DbConnection,
    pairs: &[(UserId, String)],
) -> QueryResult<HashSet<(UserId, String)>> {
    let mut found = HashSet::new();
    for pairs in pairs.chunks(BATCH) {
        let (users, keywords): (Vec<i32>, Vec<&str>) = pairs
            .iter()
            .map(|(user, text)| (user.0, text.as_str()))
            .unzip();
        let rows: Vec<(i32, String)> = prefs::table
            .filter(prefs::user_id.eq_any(users))
            .filter(prefs::keyword.eq_any(keywords))
            .select((prefs::user_id, prefs::keyword))
            .load(conn)?;
        found.extend(rows.into_iter().map(|(user, text)| (UserId(user), text)));
    }
    Ok(found)
}

/// The first `limit` preferences with an id above `after`: id, user, keyword.
pub fn page_after(
    conn: &mut DbConnection,
    after: i32,
    limit: i64,
) -> QueryResult<Vec<(i32, UserId, String)>> {
    let rows: Vec<(i32, i32, String)> = prefs::table
        .filter(prefs::id.gt(after))
        .order(prefs::id)
        .limit(limit)
        .select((prefs::id, prefs::user_id, prefs::keyword))
        .load(conn)?;
    let typed = rows
        .into_iter()
        .map(|(id, user, keyword)| (id, UserId(user), keyword));
    Ok(typed.collect())
}

/// How many keywords `user` follows.
pub fn count(conn: &mut DbConnection, user: UserId) -> QueryResult<i64> {
    prefs::table
        .filter(prefs::user_id.eq(user.0))
        .count()
        .get_result(conn)
}

/// Whether `user` follows `keyword`.
pub fn exists(conn: &mut DbConnection, user: UserId, keyword: &str) -> QueryResult<bool> {
    let id: Option<i32> = prefs::table
        .filter(prefs::user_id.eq(user.0))
        .filter(prefs::keyword.eq(keyword))
        .select(prefs::id)
        .get_result(conn)
        .optional()?;
    Ok(id.is_some())
}

/// Adds a preference that does not exist yet.
pub fn insert(
    conn: &mut DbConnection,
    user: UserId,
    keyword: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    diesel::insert_into(prefs::table)
        .values((
            prefs::user_id.eq(user.0),
            prefs::keyword.eq(keyword),
            prefs::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Takes a preference away; tells whether it was there.
pub fn delete(conn: &mut DbConnection, user: UserId, keyword: &str) -> QueryResult<bool> {
    let gone = diesel::delete(
        prefs::table
            .filter(prefs::user_id.eq(user.0))
            .filter(prefs::keyword.eq(keyword)),
    )
    .execute(conn)?;
    Ok(gone > 0)
}
