//! The actor that forgets changes of films which were kept for long enough, a bounded step at a time. Several catalogs on one database may do so.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use runtime::{Backoff, ChildGuard, Wake};
use storage::Database;

use crate::films::{self, history};

/// How often it looks.
pub const PAUSE: Duration = Duration::from_secs(3_600);
/// How many changes a step forgets at most.
const STEP: i64 = 500;
/// The pause between two steps, in which other writes have their turn.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// The delay after a first failure.
const FIRST_DELAY: Duration = Duration::from_secs(20);

/// The actor that trims the history of films. Each [`Wake`] is a step.
pub struct HistoryTrimmer {
    database: Database,
    pause: Duration,
    backoff: Backoff,
    guard: ChildGuard,
}

impl HistoryTrimmer {
    /// Makes the actor, which looks at its start and after each `pause`.
    pub fn new(database: Database, pause: Duration, guard: ChildGuard) -> Self {
        Self {
            database,
            pause,
            backoff: Backoff::new(FIRST_DELAY, PAUSE),
            guard,
        }
    }

    /// Plans the next step after one that forgot so many changes.
    fn stepped(&mut self, forgotten: Result<usize, storage::Error>, context: &mut Context<Self>) {
        let delay = match forgotten {
            Ok(count) => {
                self.backoff.reset();
                self.guard
                    .reporter()
                    .count("changes forgotten", count as u64);
                if i64::try_from(count).is_ok_and(|count| count < STEP) {
                    self.pause
                } else {
                    STEP_PAUSE
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the history of films cannot be trimmed: {error}");
                self.backoff.next_delay()
            }
        };
        self.guard.reporter().handled(1);
        context.notify_later(Wake, delay);
    }
}

impl Actor for HistoryTrimmer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.guard.ready();
        context.notify(Wake);
    }
}

impl Handler<Wake> for HistoryTrimmer {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let database = self.database.clone();
        let step = async move {
            let trim = |conn: &mut _| history::trim(conn, films::now(), STEP);
            database.write(trim).await
        };
        let step = step.into_actor(self);
        context.spawn(step.map(|forgotten, trimmer, context| trimmer.stepped(forgotten, context)));
    }
}
