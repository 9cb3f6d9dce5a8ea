//! Who somebody is at an identity provider, and sign-ins there that have begun.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::{
    CLEANED_AT_ONCE,
    schema::{identities, provider_sign_ins, unfinished_sign_ins},
};

/// A sign-in that has begun at a provider.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = provider_sign_ins)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Begun {
    pub state: String,
    pub provider: String,
    pub nonce: String,
    pub verifier: String,
    pub return_to: String,
    pub link_to: Option<i32>,
    pub invitation: String,
    pub redirect_uri: String,
    pub expires_at: NaiveDateTime,
}

/// A sign-in that ended at the provider, and goes on here with a code of the second factor.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = unfinished_sign_ins)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Unfinished {
    pub continuation: String,
    pub user_id: i32,
    pub return_to: String,
    pub expires_at: NaiveDateTime,
}

/// Stores that a sign-in has begun.
pub fn begin(conn: &mut DbConnection, begun: &Begun) -> QueryResult<()> {
    diesel::insert_into(provider_sign_ins::table)
        .values(begun)
        .execute(conn)?;
    Ok(())
}

/// Takes the sign-in whose state has that hash, if it has not ended: it can be used once.
pub fn take(
    conn: &mut DbConnection,
    state: &str,
    now: NaiveDateTime,
) -> QueryResult<Option<Begun>> {
    let begun = provider_sign_ins::table
        .find(state)
        .filter(provider_sign_ins::expires_at.gt(now))
        .select(Begun::as_select())
        .first(conn)
        .optional()?;
    diesel::delete(provider_sign_ins::table.find(state)).execute(conn)?;
    Ok(begun)
}

/// Stores that a sign-in goes on.
pub fn put_off(conn: &mut DbConnection, unfinished: &Unfinished) -> QueryResult<()> {
    diesel::insert_into(unfinished_sign_ins::table)
        .values(unfinished)
        .execute(conn)?;
    Ok(())
}

/// Returns the sign-in whose continuation has that hash, if it has not ended.
pub fn unfinished(
    conn: &mut DbConnection,
    continuation: &str,
    now: NaiveDateTime,
) -> QueryResult<Option<Unfinished>> {
    unfinished_sign_ins::table
        .find(continuation)
        .filter(unfinished_sign_ins::expires_at.gt(now))
        .select(Unfinished::as_select())
        .first(conn)
        .optional()
}

/// Forgets the sign-in whose continuation has that hash: it is finished.
pub fn finish(conn: &mut DbConnection, continuation: &str) -> QueryResult<()> {
    diesel::delete(unfinished_sign_ins::table.find(continuation)).execute(conn)?;
    Ok(())
}

/// Deletes sign-ins that have ended; returns how many.
pub fn clean(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<usize> {
    let ended: Vec<String> = unfinished_sign_ins::table
        .filter(unfinished_sign_ins::expires_at.le(now))
        .limit(CLEANED_AT_ONCE)
        .select(unfinished_sign_ins::continuation)
        .load(conn)?;
    let ended = unfinished_sign_ins::continuation.eq_any(ended);
    let unfinished = diesel::delete(unfinished_sign_ins::table.filter(ended)).execute(conn)?;
    let ended: Vec<String> = provider_sign_ins::table
        .filter(provider_sign_ins::expires_at.le(now))
        .limit(CLEANED_AT_ONCE)
        .select(provider_sign_ins::state)
        .load(conn)?;
    let ended = provider_sign_ins::state.eq_any(ended);
    let begun = diesel::delete(provider_sign_ins::table.filter(ended)).execute(conn)?;
    Ok(unfinished + begun)
}

/// Links an identity to a person.
pub fn link(
    conn: &mut DbConnection,
    provider: &str,
    subject: &str,
    user: UserId,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let row = (
        identities::provider.eq(provider),
        identities::subject.eq(subject),
        identities::user_id.eq(user.0),
        identities::created_at.eq(now),
    );
    diesel::insert_into(identities::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

/// Returns whose an identity is.
pub fn find(conn: &mut DbConnection, provider: &str, subject: &str) -> QueryResult<Option<UserId>> {
    let user: Option<i32> = identities::table
        .find((provider, subject))
        .select(identities::user_id)
        .first(conn)
        .optional()?;
    Ok(user.map(UserId))
}

/// Returns the providers at which a person has an identity.
pub fn providers_of(conn: &mut DbConnection, user: UserId) -> QueryResult<Vec<String>> {
    identities::table
        .filter(identities::user_id.eq(user.0))
        .order(identities::provider)
        .select(identities::provider)
        .load(conn)
}
