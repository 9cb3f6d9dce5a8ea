//! When each user last looked at the recommendations, so that what is new to the user can be counted.
//!
//! A recommendation that was made before the look and committed after it does not count as new.

use chrono::NaiveDateTime;
use diesel::{dsl::sql, prelude::*, sql_types::Timestamp};
use proto::UserId;
use storage::DbConnection;

use super::schema::{looks, recommendations};

/// How many new recommendations are counted at most.
pub const MAX_COUNTED: i64 = 100;

/// How many films are recommended to `user` since the last look, at most [`MAX_COUNTED`].
pub fn count_new(conn: &mut DbConnection, user: UserId) -> QueryResult<i64> {
    let looked: Option<NaiveDateTime> = looks::table
        .find(user.0)
        .select(looks::looked_at)
        .first(conn)
        .optional()?;
    let after = looked.unwrap_or_default();
    let newest: Vec<i64> = recommendations::table
        .filter(recommendations::user_id.eq(user.0))
        .filter(recommendations::created_at.gt(after))
        .limit(MAX_COUNTED)
        .select(recommendations::id)
        .load(conn)?;
    Ok(newest.len() as i64)
}

/// Forgets when `user` looked.
pub fn forget(conn: &mut DbConnection, user: UserId) -> QueryResult<()> {
    diesel::delete(looks::table.find(user.0)).execute(conn)?;
    Ok(())
}

/// Stores that `user` looked at `now`.
pub fn look(conn: &mut DbConnection, user: UserId, now: NaiveDateTime) -> QueryResult<()> {
    let look = (looks::user_id.eq(user.0), looks::looked_at.eq(now));
    match conn {
        DbConnection::Sqlite(conn) => diesel::insert_into(looks::table)
            .values(look)
            .on_conflict(looks::user_id)
            .do_update()
            .set(looks::looked_at.eq(now))
            .execute(conn)?,
        DbConnection::Mysql(conn) => diesel::insert_into(looks::table)
            .values(look)
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set(looks::looked_at.eq(sql::<Timestamp>("VALUES(looked_at)")))
            .execute(conn)?,
    };
    Ok(())
}
