//! Codes that were sent by mail, each for one use. The database has the hash of each alone.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::codes};

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To prove that a person reads an e-mail address.
    ConfirmEmail,
    /// To set a new password.
    ResetPassword,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm",
            Self::ResetPassword => "reset",
        }
    }
}

/// A code.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = codes)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Code {
    pub code: String,
    pub user_id: i32,
    pub kind: String,
    pub email: String,
    pub created_at: NaiveDateTime,
    pub expires_at: NaiveDateTime,
}

impl Code {
    /// The code with this hash, for that user's address.
    pub fn new(
        purpose: Purpose,
        hash: String,
        user: UserId,
        email: &str,
        now: NaiveDateTime,
        expires_at: NaiveDateTime,
    ) -> Self {
        Self {
            code: hash,
            user_id: user.0,
            kind: purpose.name().to_owned(),
            email: email.to_owned(),
            created_at: now,
            expires_at,
        }
    }
}

/// Adds a code; earlier ones of the same purpose count no more.
pub fn replace(conn: &mut DbConnection, purpose: Purpose, code: &Code) -> QueryResult<()> {
    forget(conn, purpose, UserId(code.user_id))?;
    diesel::insert_into(codes::table)
        .values(code)
        .execute(conn)?;
    Ok(())
}

/// Deletes the codes of a person.
pub fn forget(conn: &mut DbConnection, purpose: Purpose, user: UserId) -> QueryResult<()> {
    let earlier = codes::table
        .filter(codes::user_id.eq(user.0))
        .filter(codes::kind.eq(purpose.name()));
    diesel::delete(earlier).execute(conn)?;
    Ok(())
}

/// When the newest code of a person was made.
pub fn newest(
    conn: &mut DbConnection,
    purpose: Purpose,
    user: UserId,
) -> QueryResult<Option<NaiveDateTime>> {
    codes::table
        .filter(codes::user_id.eq(user.0))
        .filter(codes::kind.eq(purpose.name()))
        .order(codes::created_at.desc())
        .select(codes::created_at)
        .first(conn)
        .optional()
}

/// Returns the code of that hash, if it has not ended.
pub fn find(
    conn: &mut DbConnection,
    purpose: Purpose,
    hash: &str,
    now: NaiveDateTime,
) -> QueryResult<Option<Code>> {
    codes::table
        .find(hash)
        .filter(codes::kind.eq(purpose.name()))
        .filter(codes::expires_at.gt(now))
        .select(Code::as_select())
        .first(conn)
        .optional()
}

/// Deletes codes that have ended; returns how many.
pub fn clean(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<usize> {
    let ended: Vec<String> = codes::table
        .filter(codes::expires_at.le(now))
        .limit(CLEANED_AT_ONCE)
        .select(codes::code)
        .load(conn)?;
    diesel::delete(codes::table.filter(codes::code.eq_any(ended))).execute(conn)
}
