//! Finishes matching that was too much for one call, while this replica holds the lease.
//!
//! Each [`Wake`] is one round over the backlog, in which preferences come before films: a user waits for a preference, and after a change of
//! the rules of matching all films are in the backlog. The worker sends the message to itself now and then, for the work of other
//! replicas; those that put work down here send it, too.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use futures::FutureExt;
use proto::UserId;
use runtime::{Backoff, ChildGuard, Reporter, Wake};
use storage::Database;

use crate::{
    error::Error,
    lease::Held,
    recommender::Recommender,
    store::{
        backlog::{self, Work},
        changes,
    },
};

/// How many steps of preferences are done before the films have a turn.
const PREFERENCES: i64 = 32;

/// How many films are matched again before the worker looks for preferences: while none waits, and while some do.
const FILMS: i64 = 16;
const FILMS_BETWEEN_PREFERENCES: i64 = 1;

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
                report(&self.guard.reporter(), &error);
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
    done.unwrap_or(Err(storage::Error::Panicked.into()))
}

/// Does a part of each piece of work, so that none waits for another; returns how many there were.
async fn go_round(duty: Duty, trims: bool) -> Result<usize, Error> {
    let mut round = Round::new(duty);
    round.go().await?;
    if trims {
        let database = &round.duty.database;
        let trimming = database.write(|conn| changes::trim(conn, KEPT_CHANGES));
        if let Err(error) = trimming.await {
            tracing::warn!(%error, "the list of changes could not be cut: {error}");
        }
    }
    match round.failure {
        Some(error) => Err(error),
        None => Ok(round.done),
    }
}

/// How far a round has come. It ends when each film has had a step; preferences have one after the other as long as it lasts.
struct Round {
    duty: Duty,
    /// The last preference and the last film that had a step.
    preference: (UserId, String),
    film: i64,
    /// How many steps were done.
    done: usize,
    /// Preferences whose step failed have no other in this round.
    failed: HashSet<i64>,
    failure: Option<Error>,
}

impl Round {
    fn new(duty: Duty) -> Self {
        Self {
            duty,
            preference: BEFORE_ALL,
            film: 0,
            done: 0,
            failed: HashSet::new(),
            failure: None,
        }
    }

    async fn go(&mut self) -> Result<(), Error> {
        while self.duty.held.is_held() {
            let limit = match self.do_preferences().await? {
                0 => FILMS,
                _ => FILMS_BETWEEN_PREFERENCES,
            };
            if self.do_films(limit).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Does a step of each preference whose turn it is; returns how many were tried.
    async fn do_preferences(&mut self) -> Result<usize, Error> {
        let (user, keyword) = self.preference.clone();
        let next =
            move |conn: &mut _| backlog::preferences_after(conn, (user, &keyword), PREFERENCES);
        let mut waiting = self.duty.database.read(next).await?;
        self.preference = match waiting.last() {
            Some((_, Work::Preference { user, keyword, .. }))
                if waiting.len() as i64 == PREFERENCES =>
            {
                (*user, keyword.clone())
            }
            // Those that were passed over are next.
            _ => BEFORE_ALL,
        };
        waiting.retain(|(id, _)| !self.failed.contains(id));
        for (id, work) in &waiting {
            if !self.step(*id, work).await {
                self.failed.insert(*id);
            }
        }
        Ok(waiting.len())
    }

    /// Does a step of each of the next films, at most `limit`; returns how many were tried.
    async fn do_films(&mut self, limit: i64) -> Result<usize, Error> {
        let after = self.film;
        let next = move |conn: &mut _| backlog::films_after(conn, after, limit);
        let waiting = self.duty.database.read(next).await?;
        for (id, work) in &waiting {
            self.film = *id;
            self.step(*id, work).await;
        }
        Ok(waiting.len())
    }

    /// Does a step of a piece of work. One that fails does not keep the others from being done.
    async fn step(&mut self, id: i64, work: &Work) -> bool {
        if !self.duty.held.is_held() {
            return true;
        }
        match contained(self.duty.recommender.go_on(id, work)).await {
            Ok(()) => {
                self.done += 1;
                true
            }
            Err(error) => {
                self.failure = Some(error);
                false
            }
        }
    }
}

/// Before the first preference of the first user.
const BEFORE_ALL: (UserId, String) = (UserId(i32::MIN), String::new());

/// Says why the backlog is not worked off.
fn report(reporter: &Reporter, error: &Error) {
    let what = "cannot work off the backlog";
    match error {
        Error::Storage(error) => error.report(reporter, what),
        // That is part of a start, and the matcher says what it is at.
        Error::NotReady(reason) => reporter.hindered(format_args!("{what}: {reason}")),
        error => reporter.degraded(format_args!("{what}: {error}")),
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
        let failed = contained(panics).await;
        assert!(matches!(
            failed,
            Err(Error::Storage(storage::Error::Panicked))
        ));
        assert!(contained(async { Ok(()) }).await.is_ok());
    }
}
