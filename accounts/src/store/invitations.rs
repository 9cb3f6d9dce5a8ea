//! Invitations: who may register although registration is not open.

use chrono::NaiveDateTime;
use diesel::{dsl::count_star, prelude::*};
use proto::UserId;
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::invitations};

/// An invitation.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = invitations)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Invitation {
    pub id: String,
    pub code: String,
    pub role: i32,
    pub email: String,
    pub invited_by: i32,
    pub created_at: NaiveDateTime,
    pub expires_at: NaiveDateTime,
    pub used_by: Option<i32>,
}

/// Adds an invitation.
pub fn insert(conn: &mut DbConnection, invitation: &Invitation) -> QueryResult<()> {
    diesel::insert_into(invitations::table)
        .values(invitation)
        .execute(conn)?;
    Ok(())
}

/// Returns the invitation whose code has that hash, if it can still be used.
pub fn usable(
    conn: &mut DbConnection,
    hash: &str,
    now: NaiveDateTime,
) -> QueryResult<Option<Invitation>> {
    invitations::table
        .filter(invitations::code.eq(hash))
        .filter(invitations::used_by.is_null())
        .filter(invitations::expires_at.gt(now))
        .select(Invitation::as_select())
        .first(conn)
        .optional()
}

/// Stores who has used an invitation.
pub fn use_up(conn: &mut DbConnection, id: &str, user: UserId) -> QueryResult<()> {
    diesel::update(invitations::table.find(id))
        .set(invitations::used_by.eq(user.0))
        .execute(conn)?;
    Ok(())
}

/// How many can still be used.
pub fn count_usable(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<i64> {
    invitations::table
        .filter(invitations::used_by.is_null())
        .filter(invitations::expires_at.gt(now))
        .select(count_star())
        .first(conn)
}

/// Returns a page of the invitations, the newest first, and how many there are in all.
pub fn page(
    conn: &mut DbConnection,
    offset: i64,
    limit: i64,
) -> QueryResult<(Vec<Invitation>, i64)> {
    let total = invitations::table.select(count_star()).first(conn)?;
    let rows = invitations::table
        .order((invitations::created_at.desc(), invitations::id))
        .offset(offset)
        .limit(limit)
        .select(Invitation::as_select())
        .load(conn)?;
    Ok((rows, total))
}

/// Deletes an invitation that nobody has used; tells whether there was one.
pub fn revoke(conn: &mut DbConnection, id: &str) -> QueryResult<bool> {
    let one = invitations::table
        .filter(invitations::id.eq(id))
        .filter(invitations::used_by.is_null());
    Ok(diesel::delete(one).execute(conn)? > 0)
}

/// Deletes invitations that ended before that time; returns how many.
pub fn clean(conn: &mut DbConnection, before: NaiveDateTime) -> QueryResult<usize> {
    let ended: Vec<String> = invitations::table
        .filter(invitations::expires_at.lt(before))
        .limit(CLEANED_AT_ONCE)
        .select(invitations::id)
        .load(conn)?;
    diesel::delete(invitations::table.filter(invitations::id.eq_any(ended))).execute(conn)
}
