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

/// After what time without another failure what has failed has another try in the same round.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How often the list of changes is cut, and to which length.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
const KEPT_CHANGES: i64 = 100_000;

/// Works off the backlog.
pub struct BacklogWorker {
    guard: ChildGuard,
    duty: Duty,
    backoff: Backoff,
    /// When the list of changes was cut last.
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
    reporter: Reporter,
}

impl BacklogWorker {
    /// A worker on the backlog of `database`.
    pub fn new(
        guard: ChildGuard,
        database: Database,
        recommender: Recommender,
        held: Held,
    ) -> Self {
        let reporter = guard.reporter();
        Self {
            guard,
            duty: Duty {
                database,
                recommender,
                held,
                reporter,
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

    fn conclude(&mut self, (round, trimmed): Concluded, context: &mut Context<Self>) {
        self.is_busy = false;
        self.trimmed = trimmed;
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
        let round = go_round(self.duty.clone(), self.trimmed)
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

/// How many steps a round has done, or why not all of them; and when the list of changes was cut last.
type Concluded = (Result<usize, Error>, Instant);

/// Works until nothing waits but what has failed.
async fn go_round(duty: Duty, trimmed: Instant) -> Concluded {
    let mut round = Round::new(duty, trimmed);
    let gone = round.go().await;
    let concluded = match (gone, round.failure) {
        (Err(error), _) | (Ok(()), Some(error)) => Err(error),
        (Ok(()), None) => Ok(round.done),
    };
    (concluded, round.trimmed)
}

/// How far a round has come. It ends when nothing waits but pieces of work that have failed, and lasts as long as new ones come: so
/// failures are reported and the list of changes is cut while it lasts. A piece of which a step is done is a new one, with a new id.
struct Round {
    duty: Duty,
    trimmed: Instant,
    /// The last preference and the last film that had a step.
    preference: (UserId, String),
    film: i64,
    /// How many preferences had a step since the first of them.
    tried: usize,
    /// How many steps were done.
    done: usize,
    /// Preferences whose step failed: they are passed over.
    failed: HashSet<i64>,
    failed_at: Instant,
    failure: Option<Error>,
}

impl Round {
    fn new(duty: Duty, trimmed: Instant) -> Self {
        Self {
            duty,
            trimmed,
            preference: BEFORE_ALL,
            film: 0,
            tried: 0,
            done: 0,
            failed: HashSet::new(),
            failed_at: Instant::now(),
            failure: None,
        }
    }

    async fn go(&mut self) -> Result<(), Error> {
        while self.duty.held.is_held() {
            self.trim().await;
            let tried = self.do_preferences().await?;
            let limit = match tried {
                0 => FILMS,
                _ => FILMS_BETWEEN_PREFERENCES,
            };
            let films = self.do_films(limit).await?;
            self.tried += tried;
            if self.preference != BEFORE_ALL {
                continue;
            }
            // All preferences had their turn.
            if films == 0 && self.tried == 0 {
                break;
            }
            self.tried = 0;
            self.forgive(films == 0);
        }
        Ok(())
    }

    /// Has what failed tried again, if that was long ago; films only when there is no other.
    fn forgive(&mut self, films_too: bool) {
        if self.failure.is_none() || self.failed_at.elapsed() < RETRY_INTERVAL {
            return;
        }
        self.failed.clear();
        if films_too {
            self.film = 0;
        }
    }

    async fn trim(&mut self) {
        if self.trimmed.elapsed() < TRIM_INTERVAL {
            return;
        }
        self.trimmed = Instant::now();
        let trim = |conn: &mut _| changes::trim(conn, KEPT_CHANGES);
        if let Err(error) = self.duty.database.write(trim).await {
            tracing::warn!(%error, "the list of changes could not be cut: {error}");
        }
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
                report(&self.duty.reporter, &error);
                self.failed_at = Instant::now();
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
