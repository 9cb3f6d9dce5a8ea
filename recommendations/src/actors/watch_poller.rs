//! Finds out for watching clients what other replicas changed.

use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use runtime::Lifeline;
use storage::{Database, DbConnection};

use crate::{
    store::{
        recommendations::{self, Fingerprint},
        sequence,
    },
    watchers::Watchers,
};

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(1_000);

/// Compares what watched users were told with what is stored.
pub struct WatchPoller {
    lifeline: Lifeline,
    database: Database,
    watchers: Watchers,
}

impl WatchPoller {
    /// A poller for `watchers`.
    pub fn new(lifeline: Lifeline, database: Database, watchers: Watchers) -> Self {
        Self {
            lifeline,
            database,
            watchers,
        }
    }
}

impl Actor for WatchPoller {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let reporter = self.lifeline.reporter();
        let (database, watchers) = (self.database.clone(), self.watchers.clone());
        let polling = async move {
            let mut ticks = tokio::time::interval(LOOK_INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut seen = 0;
            loop {
                ticks.tick().await;
                match look(&database, &watchers, seen).await {
                    Ok(now) => {
                        seen = now;
                        reporter.ready();
                    }
                    Err(error) => reporter.degraded(format!("cannot look for changes: {error}")),
                }
            }
        };
        // The loop has no end; if it had, a new poller would be made.
        context.spawn(
            polling
                .into_actor(self)
                .map(|(), _, context| context.stop()),
        );
    }
}

/// Wakes whom something new concerns; returns the number of the last change it looked at.
async fn look(database: &Database, watchers: &Watchers, seen: i64) -> Result<i64, storage::Error> {
    let users = watchers.users();
    if users.is_empty() {
        return Ok(0);
    }
    let look = move |conn: &mut DbConnection| {
        let now = sequence::current(conn)?;
        if now == seen {
            return Ok((now, Vec::new()));
        }
        let mut found: Vec<_> = users
            .into_iter()
            .map(|user| (user, Fingerprint::default()))
            .collect();
        let ids: Vec<i32> = found.iter().map(|(user, _)| *user).collect();
        found.extend(recommendations::fingerprints(conn, &ids)?);
        // The stored one, if any, comes after the default and takes its place.
        let latest: std::collections::HashMap<_, _> = found.into_iter().collect();
        Ok((now, latest.into_iter().collect()))
    };
    let (now, found) = database.read(look).await?;
    for (user, fingerprint) in found {
        watchers.found(user, fingerprint);
    }
    Ok(now)
}
