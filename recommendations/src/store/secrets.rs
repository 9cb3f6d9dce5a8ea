//! Secrets that are made once for a database and shared by all replicas that use it.

use diesel::prelude::*;
use storage::{DbConnection, each_backend};

use super::schema::secrets::dsl::{name, secrets, value};

/// The key that the ids of events are made with.
const EVENT_IDS: &str = "event-ids";

/// Returns the key of event ids; it is `random` if the database has none yet.
pub fn event_ids(conn: &mut DbConnection, random: &str) -> QueryResult<String> {
    let row = (name.eq(EVENT_IDS), value.eq(random));
    each_backend!(conn, |c| {
        diesel::insert_or_ignore_into(secrets)
            .values(row)
            .execute(c)
    })?;
    let key = secrets.filter(name.eq(EVENT_IDS)).select(value);
    each_backend!(conn, |c| key.get_result(c))
}
