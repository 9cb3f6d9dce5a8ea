//! Secrets that replicas share.

use diesel::prelude::*;
use storage::{DbConnection, each_backend};

use super::schema::secrets::dsl::{name, secrets, value};

/// The key that the ids of events are made with.
pub const EVENT_IDS: &str = "event-ids";

/// What makes somebody the owner who is not at the machine itself. In plain text, because it is shown in the log of each replica until there
/// is an owner; then it is deleted.
pub const SETUP_CODE: &str = "setup-code";

/// Returns a secret; it is `random` if the database has none of that name yet.
pub fn get(conn: &mut DbConnection, which: &str, random: &str) -> QueryResult<String> {
    let row = (name.eq(which), value.eq(random));
    each_backend!(conn, |c| {
        diesel::insert_or_ignore_into(secrets)
            .values(row)
            .execute(c)
    })?;
    let key = secrets.filter(name.eq(which)).select(value);
    each_backend!(conn, |c| key.get_result(c))
}

/// Returns a secret, if there is one of that name.
pub fn find(conn: &mut DbConnection, which: &str) -> QueryResult<Option<String>> {
    secrets.find(which).select(value).first(conn).optional()
}

/// Deletes a secret.
pub fn delete(conn: &mut DbConnection, which: &str) -> QueryResult<()> {
    diesel::delete(secrets.find(which)).execute(conn)?;
    Ok(())
}
