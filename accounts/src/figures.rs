//! What the service tells Prometheus of its work: how many events wait for the broker, for how long, and how many mails for their server.

use chrono::NaiveDateTime;
use diesel::QueryResult;
use runtime::{Group, metrics::Description};
use storage::{Database, DbConnection};

use crate::store::{outbox, sequence};

/// Starts the actor that finds out what waits in `database`.
pub fn sample(group: &Group, database: &Database) {
    let [rows, age] = storage::outbox_gauges(group);
    let mails = group.metrics().gauge(&Description {
        name: "marquee_mails_waiting",
        help: "Mails that the mail server has not taken yet, counted up to 100,000.",
        ..Description::default()
    });
    let gauges = [rows, age, mails];
    let name = "accounts-database-sampler";
    database.sample(group, name, gauges, |conn| waiting(conn, sequence::now()));
}

/// How many events wait, for how many seconds the oldest of them has, and how many mails wait.
fn waiting(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<[Option<f64>; 3]> {
    let rows = storage::count_rows(conn, "outbox")?;
    let oldest = outbox::oldest_since(conn)?;
    // The clock may have been set.
    let age = oldest.map_or(0, |since| (now - since).num_milliseconds().max(0));
    let mails = storage::count_rows(conn, "mails")?;
    Ok([
        Some(rows as f64),
        Some(age as f64 / 1_000.0),
        Some(mails as f64),
    ])
}
