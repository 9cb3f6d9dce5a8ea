//! What the service tells Prometheus of its work: how many events wait for the broker, and for how long.

use chrono::NaiveDateTime;
use diesel::QueryResult;
use runtime::Group;
use storage::{Database, DbConnection};

use crate::store::{outbox, sequence};

/// Starts the actor that finds out what waits in `database`.
pub fn sample(group: &Group, database: &Database) {
    let gauges = storage::outbox_gauges(group);
    let name = "accounts-database-sampler";
    database.sample(group, name, gauges, |conn| waiting(conn, sequence::now()));
}

/// How many events wait, and for how many seconds the oldest of them has.
fn waiting(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<[Option<f64>; 2]> {
    let rows = storage::count_rows(conn, "outbox")?;
    let oldest = outbox::oldest_since(conn)?;
    // The clock may have been set.
    let age = oldest.map_or(0, |since| (now - since).num_milliseconds().max(0));
    Ok([Some(rows as f64), Some(age as f64 / 1_000.0)])
}
