//! Sessions: one row a device, of pages and of programs alike.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::sessions};

/// How many sessions a person has at most; the one used least recently makes room.
pub const MAX_SESSIONS: i64 = 100;

/// How long a session lasts after its last use, if the person wants to stay signed in, and for programs.
const REMEMBERED: TimeDelta = TimeDelta::days(90);

/// How long it lasts otherwise.
const NOT_REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// A session.
#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = sessions, treat_none_as_null = true)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Session {
    pub id: String,
    pub user_id: i32,
    pub secret: String,
    pub family: Option<String>,
    pub is_of_pages: bool,
    pub is_remembered: bool,
    pub created_at: NaiveDateTime,
    pub last_used_at: NaiveDateTime,
    pub expires_at: NaiveDateTime,
    pub address: String,
    pub agent: String,
}

impl Session {
    /// When it ends if it was used last `at` that time.
    pub fn end_after(&self, at: NaiveDateTime) -> NaiveDateTime {
        let lasts = match self.is_remembered || !self.is_of_pages {
            true => REMEMBERED,
            false => NOT_REMEMBERED,
        };
        at + lasts
    }
}

/// Adds a session, and ends the oldest ones of the person if there are too many.
pub fn insert(conn: &mut DbConnection, session: &Session) -> QueryResult<()> {
    let over: Vec<String> = sessions::table
        .filter(sessions::user_id.eq(session.user_id))
        .order(sessions::last_used_at.desc())
        .offset(MAX_SESSIONS - 1)
        .limit(MAX_SESSIONS)
        .select(sessions::id)
        .load(conn)?;
    diesel::delete(sessions::table.filter(sessions::id.eq_any(over))).execute(conn)?;
    diesel::insert_into(sessions::table)
        .values(session)
        .execute(conn)?;
    Ok(())
}

/// Stores a session as changed.
pub fn save(conn: &mut DbConnection, session: &Session) -> QueryResult<()> {
    diesel::update(sessions::table.find(&session.id))
        .set(session)
        .execute(conn)?;
    Ok(())
}

/// Returns the session with the cookie that has this hash.
pub fn by_secret(conn: &mut DbConnection, hash: &str) -> QueryResult<Option<Session>> {
    sessions::table
        .filter(sessions::secret.eq(hash))
        .filter(sessions::is_of_pages.eq(true))
        .select(Session::as_select())
        .first(conn)
        .optional()
}

/// Returns the session whose refresh tokens all begin with what has this hash.
pub fn by_family(conn: &mut DbConnection, hash: &str) -> QueryResult<Option<Session>> {
    sessions::table
        .filter(sessions::family.eq(hash))
        .select(Session::as_select())
        .first(conn)
        .optional()
}

/// Returns the session of this id.
pub fn by_id(conn: &mut DbConnection, id: &str) -> QueryResult<Option<Session>> {
    sessions::table
        .find(id)
        .select(Session::as_select())
        .first(conn)
        .optional()
}

/// Returns the sessions of a person that have not ended, the one used last first.
pub fn of_user(
    conn: &mut DbConnection,
    user: UserId,
    now: NaiveDateTime,
) -> QueryResult<Vec<Session>> {
    sessions::table
        .filter(sessions::user_id.eq(user.0))
        .filter(sessions::expires_at.gt(now))
        .order(sessions::last_used_at.desc())
        .limit(MAX_SESSIONS)
        .select(Session::as_select())
        .load(conn)
}

/// Ends one session of a person; returns how many ended.
pub fn end(conn: &mut DbConnection, user: UserId, id: &str) -> QueryResult<usize> {
    let one = sessions::table
        .filter(sessions::user_id.eq(user.0))
        .filter(sessions::id.eq(id));
    diesel::delete(one).execute(conn)
}

/// Ends all sessions of a person but the one of the id `kept`, which may be empty; returns how many ended.
pub fn end_all_but(conn: &mut DbConnection, user: UserId, kept: &str) -> QueryResult<usize> {
    let others = sessions::table
        .filter(sessions::user_id.eq(user.0))
        .filter(sessions::id.ne(kept));
    diesel::delete(others).execute(conn)
}

/// Deletes sessions that have ended, at most [`CLEANED_AT_ONCE`]; returns how many.
pub fn clean(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<usize> {
    let ended: Vec<String> = sessions::table
        .filter(sessions::expires_at.le(now))
        .limit(CLEANED_AT_ONCE)
        .select(sessions::id)
        .load(conn)?;
    diesel::delete(sessions::table.filter(sessions::id.eq_any(ended))).execute(conn)
}
