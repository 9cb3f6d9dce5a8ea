//! Finds out for watching clients what other replicas changed.
//!
//! Each [`Wake`] is one look; what this replica changes reaches the clients without it.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use proto::UserId;
use runtime::{ChildGuard, Wake};
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
    /// The users it looked at.
    users: BTreeSet<UserId>,
}

/// Compares what is known of watched users with what is stored.
pub struct WatchPoller {
    guard: ChildGuard,
    database: Database,
    watchers: Watchers,
    seen: Looked,
}

impl WatchPoller {
    /// A poller for `watchers`.
    pub fn new(guard: ChildGuard, database: Database, watchers: Watchers) -> Self {
        Self {
            guard,
            database,
            watchers,
            seen: Looked::default(),
        }
    }

    fn conclude(&mut self, looked: Result<Looked, storage::Error>, context: &mut Context<Self>) {
        match looked {
            Ok(looked) => {
                self.seen = looked;
                self.guard.ready();
            }
            Err(error) => error.report(&self.guard.reporter(), "cannot look for changes"),
        }
        context.notify_later(Wake, LOOK_INTERVAL);
    }
}

impl Actor for WatchPoller {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for WatchPoller {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        let (database, watchers) = (self.database.clone(), self.watchers.clone());
        let seen = self.seen.clone();
        let look = async move { look(&database, &watchers, &seen).await };
        let looked = look
            .into_actor(self)
            .map(|looked, poller, context| poller.conclude(looked, context));
        context.spawn(looked);
    }
}

/// Wakes the clients that something new concerns; returns how far it looked.
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
        // A user who is watched since the last look began was not looked at.
        if through == seen.through && asked == seen.users {
            return Ok((through, HashMap::new()));
        }
        let nothing = |user: &UserId| (*user, Fingerprint::default());
        let mut found: HashMap<_, _> = asked.iter().map(nothing).collect();
        let ids: Vec<UserId> = asked.into_iter().collect();
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
    use std::convert::Infallible;

    use futures::FutureExt;
    use runtime::{Process, Supervisor};
    use storage::testing::TestDatabase;

    use super::*;
    use crate::store;

    #[test]
    fn a_user_watched_since_a_look_is_looked_at_though_nothing_changed_since() {
        actix::System::new().block_on(async {
            let file = TestDatabase::sqlite("watch_poller");
            let supervisor = Supervisor::new("test", &Process::new());
            let group = supervisor.group("database");
            let migrations = store::migrations();
            let database = Database::open(&group, "db", "DATABASE_URL", file.url(), migrations)
                .await
                .unwrap();
            let watchers = Watchers::new(10);
            let _first = watchers.watch(UserId(1)).unwrap();
            let seen = look(&database, &watchers, &Looked::default())
                .await
                .unwrap();

            // What was read for it has changed since, before the look read how far changes go.
            let mut second = watchers.watch(UserId(2)).unwrap();
            let read = async {
                Ok::<_, Infallible>(Fingerprint {
                    total: 1,
                    newest: Some(7),
                    ids: 7,
                })
            };
            second.fingerprint(read).now_or_never().unwrap().unwrap();
            look(&database, &watchers, &seen).await.unwrap();
            assert!(second.changed().now_or_never().is_some());
            supervisor.stop(Duration::from_secs(5)).await;
        });
    }
}
