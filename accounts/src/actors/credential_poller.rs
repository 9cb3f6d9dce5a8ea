//! Finds out whose credentials have changed, on this replica and on others, and tells the clients that watch.
//!
//! Each [`Wake`] is one look at the list of changes. The repository sends one after each write, so that what this replica changes is told at once.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use runtime::{ChildGuard, Wake};
use storage::{Database, DbConnection};

use crate::{
    store::{
        changes::{self, Changed},
        sequence,
    },
    watchers::Watchers,
};

/// How often it looks without being told.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How many changes one look reads at most.
const CHANGES: i64 = 1_000;

/// Follows the list of changes.
pub struct CredentialPoller {
    guard: ChildGuard,
    database: Database,
    watchers: Watchers,
    /// The number of the last change that was told; nothing before the first look.
    seen: Option<i64>,
    is_looking: bool,
    /// Somebody told it to look while it did.
    again: bool,
    next_look: Option<SpawnHandle>,
}

impl CredentialPoller {
    /// A poller for `watchers`.
    pub fn new(guard: ChildGuard, database: Database, watchers: Watchers) -> Self {
        Self {
            guard,
            database,
            watchers,
            seen: None,
            is_looking: false,
            again: false,
            next_look: None,
        }
    }

    fn conclude(&mut self, looked: Result<Changed, storage::Error>, context: &mut Context<Self>) {
        self.is_looking = false;
        let mut more = std::mem::take(&mut self.again);
        match looked {
            Ok(changed) => {
                more |= changed.users.len() as i64 == CHANGES;
                if changed.is_lost {
                    self.watchers.tell(Vec::new());
                } else if !changed.users.is_empty() {
                    self.watchers.tell(changed.users);
                }
                self.seen = Some(changed.through);
                self.guard.ready();
            }
            Err(error) => error.report(
                &self.guard.reporter(),
                "cannot look for changed credentials",
            ),
        }
        let delay = if more { Duration::ZERO } else { LOOK_INTERVAL };
        self.next_look = Some(context.notify_later(Wake, delay));
    }
}

runtime::requested!(CredentialPoller);

impl Actor for CredentialPoller {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for CredentialPoller {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        if self.is_looking {
            self.again = true;
            return;
        }
        if let Some(next_look) = self.next_look.take() {
            context.cancel_future(next_look);
        }
        self.guard.reporter().handled(1);
        self.is_looking = true;
        let (database, seen) = (self.database.clone(), self.seen);
        let look = async move { look(&database, seen).await };
        let looked = look
            .into_actor(self)
            .map(|looked, poller, context| poller.conclude(looked, context));
        context.spawn(looked);
    }
}

/// Reads what changed after the number `seen`.
async fn look(database: &Database, seen: Option<i64>) -> Result<Changed, storage::Error> {
    let look = move |conn: &mut DbConnection| match seen {
        Some(seen) => changes::after(conn, seen, CHANGES),
        // What was missed before the first look is not known.
        None => Ok(Changed {
            users: Vec::new(),
            through: sequence::current(conn)?,
            is_lost: true,
        }),
    };
    database.read(look).await
}
