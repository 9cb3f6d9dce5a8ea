//! The actor that lists the genres of films which programs without the table of genres write: replicas
//! of an older release beside this one. It looks once in a while, and finds nothing where there are none.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use runtime::{Backoff, ChildGuard, Wake};
use storage::Database;

use crate::{changes::Changes, films::genres};

/// How often it looks.
pub const PAUSE: Duration = Duration::from_secs(20);

/// The actor that lists the genres of films. Each [`Wake`] is a step of a look, one at a time.
pub struct GenreLister {
    database: Database,
    /// The last film that this look has brought up to date; none before its first step.
    last: Option<String>,
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
            last: None,
            changes,
            pause,
            backoff: Backoff::new(pause, pause * 8),
            guard,
        }
    }

    /// Plans the next step after one that listed the genres of these films, or the next look.
    fn stepped(
        &mut self,
        listed: Result<Vec<String>, storage::Error>,
        context: &mut Context<Self>,
    ) {
        self.last = None;
        let delay = match listed {
            Ok(mut films) if !films.is_empty() => {
                let count = films.len() as u64;
                self.guard.reporter().count("films listed", count);
                self.changes.announce();
                self.last = films.pop();
                return context.notify(Wake);
            }
            Ok(_) => {
                self.backoff.reset();
                self.pause
            }
            Err(error) => {
                tracing::debug!(%error, "genres cannot be listed: {error}");
                self.backoff.next_delay()
            }
        };
        self.guard.reporter().handled(1);
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
        let step = list_some(self.database.clone(), self.last.clone()).into_actor(self);
        context.spawn(step.map(|listed, lister, context| lister.stepped(listed, context)));
    }
}

/// Lists the genres of the next films after `last` that have others than those listed; returns the
/// films' ids in order. A look begins with none, and ends when there are no more.
async fn list_some(
    database: Database,
    last: Option<String>,
) -> Result<Vec<String>, storage::Error> {
    let after = match last {
        Some(last) => last,
        None if database.read(genres::any_unlisted).await? => String::new(),
        None => return Ok(Vec::new()),
    };
    database
        .write(move |conn| genres::list_some(conn, &after))
        .await
}
