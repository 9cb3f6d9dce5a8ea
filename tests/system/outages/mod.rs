//! A part of the system is unavailable for a while: the rest goes on, and catches up by itself. Each time the system is used all the
//! while, takes no more memory for it, and says so in its log: a line when it begins, and a line when it is over.

mod broker;
mod clock;
mod database;
pub(crate) mod disk;
mod recommendations;
mod stopped;

use std::time::Duration;

use crate::support::{Film, Visitors};

/// How long an outage lasts. Longer than any part retries without a pause, and than the start of a program counts as such.
const OUTAGE: Duration = Duration::from_secs(12);

fn heist(title: &str) -> Film<'_> {
    Film {
        title,
        description: "A heist.",
        ..Film::default()
    }
}

/// Goes on for a while, during which pages are asked for all the time.
async fn endure(visitors: &Visitors, outage: Duration) {
    // What is tested is that it lasts long.
    tokio::time::sleep(outage).await;
    visitors.see(20).await;
}
