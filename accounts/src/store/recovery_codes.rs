//! Recovery codes, each for one use, for when the authenticator is lost.

use diesel::prelude::*;
use proto::UserId;
use storage::{DbConnection, each_backend};

use super::schema::recovery_codes;

/// Gives a person new codes, of which these are the hashes; the earlier ones count no more.
pub fn replace(conn: &mut DbConnection, user: UserId, hashes: &[String]) -> QueryResult<()> {
    forget(conn, user)?;
    let rows: Vec<_> = hashes
        .iter()
        .map(|hash| {
            (
                recovery_codes::user_id.eq(user.0),
                recovery_codes::code.eq(hash),
            )
        })
        .collect();
    each_backend!(conn, |c| diesel::insert_into(recovery_codes::table)
        .values(&rows)
        .execute(c))?;
    Ok(())
}

/// Deletes the codes of a person.
pub fn forget(conn: &mut DbConnection, user: UserId) -> QueryResult<()> {
    let earlier = recovery_codes::table.filter(recovery_codes::user_id.eq(user.0));
    diesel::delete(earlier).execute(conn)?;
    Ok(())
}

/// Uses up the code of that hash; tells whether there was one.
pub fn use_up(conn: &mut DbConnection, user: UserId, hash: &str) -> QueryResult<bool> {
    let one = recovery_codes::table
        .filter(recovery_codes::user_id.eq(user.0))
        .filter(recovery_codes::code.eq(hash));
    Ok(diesel::delete(one).execute(conn)? > 0)
}
