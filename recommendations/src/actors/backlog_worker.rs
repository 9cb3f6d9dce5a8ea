//! Finishes matching that was too much for one call, while this replica holds the lease.
//!
//! Each [`Wake`] is one round over the backlog. The worker sends it to itself now and then, for the
//! work of other replicas; those that put work down here send it, too.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use futures::FutureExt;
use runtime::{Backoff, ChildGuard, Wake};
use storage::Database;

use crate::{
    error::Error,
    lease::Held,
    recommender::Recommender,
    store::{backlog, changes},
};

/// How often it looks for work of other replicas, and whether it holds the lease.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often the list of changes is cut, and to which length.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
const KEPT_CHANGES: i64 = 100_000;

/// Works off the backlog.
pub struct BacklogWorker {
    guard: ChildGuard,
    duty: Duty,
    backoff: Backoff,
    trimmed: Instant,
    /// A round is under way; asked for another, it begins one right after it.
    is_busy: bool,
    asked_again: bool,
    /// The next wake by itself.
    timer: Option<SpawnHandle>,
}

/// What a round needs.
#[derive(Clone)]
struct Duty {
    database: Database,
    recommender: Recommender,
    held: Held,
}

impl BacklogWorker {
    /// A worker on the backlog of `database`.
    pub fn new(
        guard: ChildGuard,
        database: Database,
        recommender: Recommender,
        held: Held,
    ) -> Self {
        Self {
            guard,
            duty: Duty {
                database,
                recommender,
                held,
            },
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            trimmed: Instant::now(),
            is_busy: false,
            asked_again: false,
            timer: None,
        }
    }

    fn wake_after(&mut self, delay: Duration, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        self.timer = Some(context.notify_later(Wake, delay));
    }

    fn conclude(&mut self, round: Result<usize, Error>, context: &mut Context<Self>) {
        self.is_busy = false;
        let asked_again = std::mem::take(&mut self.asked_again);
        let delay = match round {
            Ok(done) => {
                self.backoff.reset();
                self.guard.ready();
                match done > 0 || asked_again {
                    true => Duration::ZERO,
                    false => LOOK_INTERVAL,
                }
            }
            Err(error) => {
                let (reporter, what) = (self.guard.reporter(), "cannot work off the backlog");
                match &error {
                    Error::Storage(error) => error.report(&reporter, what),
                    // That is part of a start, and the matcher says what it is at.
                    Error::NotReady(reason) => {
                        reporter.hindered(format_args!("{what}: {reason}"));
                    }
                    error => reporter.degraded(format_args!("{what}: {error}")),
                }
                self.backoff.next_delay()
            }
        };
        self.wake_after(delay, context);
    }
}

runtime::requested!(BacklogWorker);

impl Actor for BacklogWorker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for BacklogWorker {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        if self.is_busy {
            self.asked_again = true;
            return;
        }
        if !self.duty.held.is_held() {
            return self.wake_after(LOOK_INTERVAL, context);
        }
        self.is_busy = true;
        let trims = self.trimmed.elapsed() >= TRIM_INTERVAL;
        if trims {
            self.trimmed = Instant::now();
        }
        let round = go_round(self.duty.clone(), trims)
            .into_actor(self)
            .map(|round, worker, context| worker.conclude(round, context));
        context.spawn(round);
    }
}

/// Does a piece of work. Its panic is its failure: if it were the worker's, the other pieces would wait until the worker could not
/// be kept alive any more.
async fn contained(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or(Err(Error::Panicked))
}

/// Does a part of each piece of work, so that none waits for another; returns how many there were.
async fn go_round(duty: Duty, trims: bool) -> Result<usize, Error> {
    let (mut after, mut done) = (0, 0);
    let mut failure = None;
    while duty.held.is_held() {
        let next = duty.database.read(move |conn| backlog::next(conn, after));
        let Some((id, work)) = next.await? else {
            break;
        };
        after = id;
        match contained(duty.recommender.go_on(id, &work)).await {
            Ok(()) => done += 1,
            // One that fails does not keep the others from being done.
            Err(error) => failure = Some(error),
        }
    }
    if trims {
        let trimming = duty
            .database
            .write(|conn| changes::trim(conn, KEPT_CHANGES));
        if let Err(error) = trimming.await {
            tracing::warn!(%error, "the list of changes could not be cut: {error}");
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_piece_of_work_that_panics_is_one_that_fails() {
        let panics = async {
            tokio::task::yield_now().await;
            panic!("made to panic by a test")
        };
        assert!(matches!(contained(panics).await, Err(Error::Panicked)));
        assert!(contained(async { Ok(()) }).await.is_ok());
    }
}
