//! Finishes matching that was too much for one call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use runtime::{Backoff, ChildGuard, Reporter};
use storage::Database;
use tokio::sync::Notify;

use crate::{
    error::Error,
    lease::Held,
    recommender::Recommender,
    store::{backlog, changes},
};

/// How often it looks for work that nobody told it of: that of other replicas.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often the list of changes is cut, and to which length.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
const KEPT_CHANGES: i64 = 100_000;

/// Works off the backlog, while this replica holds the lease.
pub struct BacklogWorker {
    guard: ChildGuard,
    duty: Duty,
}

#[derive(Clone)]
struct Duty {
    database: Database,
    recommender: Recommender,
    held: Held,
    wake: Arc<Notify>,
}

impl BacklogWorker {
    /// A worker on the backlog of `database`; `wake` tells it of new work.
    pub fn new(
        guard: ChildGuard,
        database: Database,
        recommender: Recommender,
        held: Held,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            guard,
            duty: Duty {
                database,
                recommender,
                held,
                wake,
            },
        }
    }
}

impl Actor for BacklogWorker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let working = work(self.duty.clone(), self.guard.reporter());
        // The loop has no end; if it had, a new worker would be made.
        context.spawn(
            working
                .into_actor(self)
                .map(|(), _, context| context.stop()),
        );
    }
}

async fn work(mut duty: Duty, reporter: Reporter) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut trimmed = Instant::now();
    loop {
        duty.held.held().await;
        match go_round(&duty).await {
            Ok(done) => {
                backoff.reset();
                reporter.ready();
                if trimmed.elapsed() >= TRIM_INTERVAL {
                    trimmed = Instant::now();
                    trim(&duty.database).await;
                }
                if done == 0 {
                    // Either way it looks again; the notice only makes it sooner.
                    let _ = tokio::time::timeout(LOOK_INTERVAL, duty.wake.notified()).await;
                }
            }
            Err(error) => {
                let what = "cannot work off the backlog";
                match &error {
                    Error::Storage(error) => error.report(&reporter, what),
                    error => reporter.degraded(format_args!("{what}: {error}")),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// Does a part of each piece of work, so that none waits for another; returns how many there were.
async fn go_round(duty: &Duty) -> Result<usize, Error> {
    let (mut after, mut done) = (0, 0);
    let mut failure = None;
    while duty.held.is_held() {
        let next = duty.database.read(move |conn| backlog::next(conn, after));
        let Some((id, work)) = next.await? else {
            break;
        };
        after = id;
        match duty.recommender.go_on(id, &work).await {
            Ok(()) => done += 1,
            // One that fails does not keep the others from being done.
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

async fn trim(database: &Database) {
    let trimming = database.write(|conn| changes::trim(conn, KEPT_CHANGES));
    if let Err(error) = trimming.await {
        tracing::warn!(%error, "the list of changes could not be cut: {error}");
    }
}
