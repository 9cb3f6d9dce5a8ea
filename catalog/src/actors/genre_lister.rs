//! The actor that lists the genres of films which programs without the table of genres write: replicas
//! of an older release beside this one. It looks once in a while, and finds nothing where there are none.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use runtime::{Backoff, ChildGuard, Wake};
use storage::Database;

use crate::{changes::Changes, films::genres};

/// How often it looks.
pub const PAUSE: Duration = Duration::from_secs(20);

/// The actor that lists the genres of films. Each [`Wake`] is a look, one at a time.
pub struct GenreLister {
    database: Database,
    changes: Changes,
    pause: Duration,
    backoff: Backoff,
    guard: ChildGuard,
}

impl GenreLister {
    /// Makes the actor, which looks after each `pause`.
    pub fn new(database: Database, changes: Changes, pause: Duration, guard: ChildGuard) -> Self {
        Self {
            database,
            changes,
            pause,
            backoff: Backoff::new(pause, pause * 8),
            guard,
        }
    }

    fn looked(&mut self, listed: Result<u64, storage::Error>, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        let delay = match listed {
            Ok(listed) => {
                self.backoff.reset();
                if listed > 0 {
                    self.guard.reporter().count("films listed", listed);
                    self.changes.announce();
                }
                self.pause
            }
            Err(error) => {
                tracing::debug!(%error, "genres cannot be listed: {error}");
                self.backoff.next_delay()
            }
        };
        context.notify_later(Wake, delay);
    }
}

impl Actor for GenreLister {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.guard.ready();
        context.notify(Wake);
    }
}

impl Handler<Wake> for GenreLister {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let looking = list(self.database.clone()).into_actor(self);
        context.spawn(looking.map(|listed, lister, context| lister.looked(listed, context)));
    }
}

/// Lists the genres of all films that have others than those listed; returns how many films that were.
async fn list(database: Database) -> Result<u64, storage::Error> {
    if !database.read(genres::any_unlisted).await? {
        return Ok(0);
    }
    let (mut after, mut listed) = (Some(String::new()), 0);
    while let Some(from) = after {
        let some = database.write(move |conn| genres::list_some(conn, &from));
        let ids = some.await?;
        listed += ids.len() as u64;
        after = ids.into_iter().next_back();
    }
    Ok(listed)
}
