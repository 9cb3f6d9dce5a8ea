//! What the catalog tells Prometheus of its work: how many films are on their way to recommendations, and for how long.

use diesel::QueryResult;
use runtime::Group;
use storage::{Database, DbConnection};

use crate::films::{self, Moment, outbox};

/// Starts the actor that finds out what waits in `database`.
pub(crate) fn sample(group: &Group, database: &Database) {
    let gauges = storage::outbox_gauges(group);
    let name = "movies-database-sampler";
    database.sample(group, name, gauges, |conn| waiting(conn, films::now()));
}

/// How many versions of films wait, and for how many seconds the oldest of them has, if that is known.
///
/// # Errors
///
/// If the database fails.
pub fn waiting(conn: &mut DbConnection, now: Moment) -> QueryResult<[Option<f64>; 2]> {
    let rows = outbox::count_waiting(conn)? as f64;
    let age = match outbox::oldest_version(conn)? {
        None => Some(0.0),
        // The version of a film is the time at which it was written, unless an older release wrote it.
        Some(version) => (version >= outbox::FIRST_TIME).then(|| {
            let micros = now.micros().saturating_sub(version).max(0);
            micros as f64 / 1_000_000.0
        }),
    };
    Ok([Some(rows), age])
}
