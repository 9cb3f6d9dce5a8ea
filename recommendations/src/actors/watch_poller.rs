//! Finds out for watching clients what other replicas changed.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use runtime::ChildGuard;
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

/// How far a look went.
#[derive(Debug, Clone, Default)]
struct Looked {
    /// The number of the last change.
    through: i64,
    /// Whom it looked at.
    users: BTreeSet<i32>,
}

/// Compares what watched users were told with what is stored.
pub struct WatchPoller {
    guard: ChildGuard,
    database: Database,
    watchers: Watchers,
}

impl WatchPoller {
    /// A poller for `watchers`.
    pub fn new(guard: ChildGuard, database: Database, watchers: Watchers) -> Self {
        Self {
            guard,
            database,
            watchers,
        }
    }
}

impl Actor for WatchPoller {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let reporter = self.guard.reporter();
        let (database, watchers) = (self.database.clone(), self.watchers.clone());
        let polling = async move {
            let mut ticks = tokio::time::interval(LOOK_INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut seen = Looked::default();
            loop {
                ticks.tick().await;
                match look(&database, &watchers, &seen).await {
                    Ok(now) => {
                        seen = now;
                        reporter.ready();
                    }
                    Err(error) => error.report(&reporter, "cannot look for changes"),
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

/// Wakes whom something new concerns; returns how far it looked.
async fn look(
    database: &Database,
    watchers: &Watchers,
    seen: &Looked,
) -> Result<Looked, storage::Error> {
    let users = watchers.users();
    if users.is_empty() {
        return Ok(Looked::default());
    }
    let (seen, asked) = (seen.clone(), users.clone());
    let look = move |conn: &mut DbConnection| {
        let through = sequence::current(conn)?;
        // One who came during the last look was not looked at, though the number has moved on.
        if through == seen.through && asked == seen.users {
            return Ok((through, HashMap::new()));
        }
        let nothing = |user: &i32| (*user, Fingerprint::default());
        let mut found: HashMap<_, _> = asked.iter().map(nothing).collect();
        let ids: Vec<i32> = asked.into_iter().collect();
        found.extend(recommendations::fingerprints(conn, &ids)?);
        Ok((through, found))
    };
    let (through, found) = database.read(look).await?;
    for (user, fingerprint) in found {
        watchers.found(user, fingerprint);
    }
    Ok(Looked { through, users })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use runtime::{Process, Supervisor};
    use storage::testing::TestDatabase;

    use super::*;
    use crate::store;

    #[test]
    fn one_who_came_during_a_look_is_looked_at_though_nothing_changed_since() {
        actix::System::new().block_on(async {
            let file = TestDatabase::sqlite("watch_poller");
            let supervisor = Supervisor::new("test", &Process::new());
            let group = supervisor.group("database");
            let migrations = store::migrations();
            let database = Database::open(&group, "db", "DATABASE_URL", file.url(), migrations)
                .await
                .unwrap();
            let watchers = Watchers::new(10);
            let first = watchers.watch(1).unwrap();
            first.told(Fingerprint::default());
            let seen = look(&database, &watchers, &Looked::default())
                .await
                .unwrap();

            // What it was told has changed since, before the look read how far changes go.
            let mut second = watchers.watch(2).unwrap();
            second.told(Fingerprint {
                total: 1,
                newest: Some(7),
            });
            look(&database, &watchers, &seen).await.unwrap();
            assert!(second.changed().now_or_never().is_some());
            supervisor.stop(Duration::from_secs(5)).await;
        });
    }
}
