//! Finishes matching that was too much for one call: films together with the other replicas, preferences while this one holds the lease.
//!
//! Of a film that waits each replica takes a shard, some of its users, recommends the film to them, and takes the next. The shards of a
//! replica that is gone are done by the others.
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
use proto::{FilmId, UserId};
use runtime::{Backoff, ChildGuard, Reporter, Wake};
use storage::Database;

use crate::{
    error::Error,
    lease::{Held, ShardView},
    recommender::Recommender,
    store::{
        backlog, changes,
        reconcile::MatchedFilm,
        shards::{self, Shard},
    },
    system::Tuning,
};

/// How many steps of preferences are done before the films have a turn.
const PREFERENCES: i64 = 32;

/// How many shards are taken before the worker looks for preferences, while some wait.
const SHARDS_BETWEEN_PREFERENCES: usize = 1;

/// Of how many times as many shards as it takes at once a replica may fail before it takes no more for a while.
const FAILED_SHARDS: usize = 4;

/// How many shards of all replicas are looked at.
const SHARDS: i64 = 4_096;

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
    /// What it remembers from round to round; the round has it while one is under way.
    memory: Option<Memory>,
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
    me: String,
    /// How long the shard of another replica is left to it.
    patience: Duration,
    /// How many shards are taken at once.
    shards: usize,
    reporter: Reporter,
}

struct Memory {
    /// When the list of changes was cut last.
    trimmed: Instant,
    shards: ShardView,
}

impl Duty {
    fn memory(&self) -> Memory {
        Memory {
            trimmed: Instant::now(),
            shards: ShardView::new(&self.me, self.patience),
        }
    }
}

impl BacklogWorker {
    /// A worker of the replica `me` on the backlog of `database`.
    pub fn new(
        guard: ChildGuard,
        database: Database,
        recommender: Recommender,
        held: Held,
        me: &str,
        tuning: &Tuning,
    ) -> Self {
        let reporter = guard.reporter();
        Self {
            guard,
            duty: Duty {
                database,
                recommender,
                held,
                me: me.into(),
                patience: tuning.lease.patience,
                shards: tuning.limits.shards,
                reporter,
            },
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            memory: None,
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

    fn conclude(&mut self, (round, memory): Concluded, context: &mut Context<Self>) {
        self.is_busy = false;
        self.memory = Some(memory);
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
        self.is_busy = true;
        let memory = self.memory.take().unwrap_or_else(|| self.duty.memory());
        let round = go_round(self.duty.clone(), memory)
            .into_actor(self)
            .map(|round, worker, context| worker.conclude(round, context));
        context.spawn(round);
    }
}

/// Does a piece of work. Its panic is its failure: if it were the worker's, the other pieces would wait until the worker could not
/// be kept alive any more.
async fn contained<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or(Err(storage::Error::Panicked.into()))
}

/// How many steps a round has done, or why not all of them; and what is to be remembered.
type Concluded = (Result<usize, Error>, Memory);

/// Works until nothing waits but what has failed.
async fn go_round(duty: Duty, memory: Memory) -> Concluded {
    let mut round = Round::new(duty, memory);
    let gone = round.go().await;
    let concluded = match (gone, round.failure) {
        (Err(error), _) | (Ok(()), Some(error)) => Err(error),
        (Ok(()), None) => Ok(round.done),
    };
    (concluded, round.memory)
}

/// How far a round has come. It ends when nothing waits but pieces of work that have failed, and lasts as long as new ones come: so
/// failures are reported and the list of changes is cut while it lasts.
struct Round {
    duty: Duty,
    memory: Memory,
    /// The last preference and the last film that had a step.
    preference: (UserId, String),
    film: i64,
    /// How many pieces of work were tried since the first preference and the first film.
    tried: usize,
    /// How many steps were done.
    done: usize,
    /// What failed: it is passed over.
    failed: Failed,
    failed_at: Instant,
    failure: Option<Error>,
}

#[derive(Default)]
struct Failed {
    preferences: HashSet<i64>,
    shards: HashSet<String>,
    /// Films with a shard that failed: no other shard of them is taken.
    films: HashSet<FilmId>,
}

impl Round {
    fn new(duty: Duty, memory: Memory) -> Self {
        Self {
            duty,
            memory,
            preference: BEFORE_ALL,
            film: 0,
            tried: 0,
            done: 0,
            failed: Failed::default(),
            failed_at: Instant::now(),
            failure: None,
        }
    }

    async fn go(&mut self) -> Result<(), Error> {
        while !self.duty.held.is_leaving() {
            let mut preferences = 0;
            if self.duty.held.is_held() {
                self.trim().await;
                preferences = self.do_preferences().await?;
            } else {
                self.preference = BEFORE_ALL;
            }
            let limit = match preferences {
                0 => self.duty.shards,
                _ => SHARDS_BETWEEN_PREFERENCES.min(self.duty.shards),
            };
            self.tried += preferences;
            self.tried += self.do_shards(limit).await?;
            // No more are taken while so many cannot be done.
            if self.failed.shards.len() < self.duty.shards.max(1) * FAILED_SHARDS {
                self.tried += self.do_films(limit).await?;
            }
            self.forgive();
            if self.preference != BEFORE_ALL || self.film != 0 {
                continue;
            }
            // All had their turn.
            if self.tried == 0 {
                break;
            }
            self.tried = 0;
        }
        Ok(())
    }

    /// Has what failed tried again, if that was long ago.
    fn forgive(&mut self) {
        if self.failure.is_some() && self.failed_at.elapsed() >= RETRY_INTERVAL {
            self.failed = Failed::default();
        }
    }

    async fn trim(&mut self) {
        if self.memory.trimmed.elapsed() < TRIM_INTERVAL {
            return;
        }
        self.memory.trimmed = Instant::now();
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
            Some(last) if waiting.len() as i64 == PREFERENCES => (last.user, last.keyword.clone()),
            // Those that were passed over are next.
            _ => BEFORE_ALL,
        };
        waiting.retain(|waiting| !self.failed.preferences.contains(&waiting.id));
        for waiting in &waiting {
            if !self.duty.held.is_held() {
                break;
            }
            let done = contained(self.duty.recommender.go_on(waiting)).await;
            if !self.note(done)? {
                self.failed.preferences.insert(waiting.id);
            }
        }
        Ok(waiting.len())
    }

    /// Does the shards that are this replica's or should be, at most `limit`; returns how many were tried.
    async fn do_shards(&mut self, limit: usize) -> Result<usize, Error> {
        let read = |conn: &mut _| shards::all(conn, SHARDS);
        let all = self.duty.database.read(read).await?;
        let mut to_do = self.memory.shards.to_do(all, Instant::now());
        to_do.retain(|shard| !self.failed.shards.contains(&shard.id));
        to_do.truncate(limit);
        for shard in &to_do {
            if self.duty.held.is_leaving() {
                break;
            }
            let Duty {
                recommender, me, ..
            } = &self.duty;
            if shard.owner == *me {
                self.do_shard(shard, None).await?;
                continue;
            }
            match contained(recommender.take_over(shard, me)).await {
                Ok(None) => {}
                Ok(Some(taken)) => self.do_shard(&taken, None).await?,
                Err(error) => {
                    self.failed.shards.insert(shard.id.clone());
                    self.note(Err(error))?;
                }
            }
        }
        Ok(to_do.len())
    }

    /// Does a shard of each of the next films, of at most `limit`; returns how many were tried.
    async fn do_films(&mut self, limit: usize) -> Result<usize, Error> {
        let (after, most) = (self.film, limit as i64);
        let next = move |conn: &mut _| backlog::films_after(conn, after, most);
        let mut waiting = self.duty.database.read(next).await?;
        self.film = match waiting.last() {
            Some(last) if waiting.len() == limit => last.id,
            _ => 0,
        };
        waiting.retain(|waiting| !self.failed.films.contains(&waiting.film));
        let tried = waiting.len();
        let Duty {
            recommender, me, ..
        } = self.duty.clone();
        let (mut ranges, mut matches) = (Vec::new(), Vec::new());
        for waiting in waiting {
            match contained(recommender.match_waiting(&waiting)).await {
                Ok((last, matched)) => {
                    ranges.push((waiting, last));
                    matches.push(matched);
                }
                Err(error) => {
                    self.failed.films.insert(waiting.film);
                    self.note(Err(error))?;
                }
            }
        }
        if ranges.is_empty() || self.duty.held.is_leaving() {
            return Ok(tried);
        }
        let shards = recommender.take_shards(ranges, &me).await?;
        for (shard, matched) in shards.into_iter().zip(matches) {
            // If another replica was faster, its turn comes again. If this one is leaving, the shard was given up.
            if let Some(shard) = shard
                && !self.duty.held.is_leaving()
            {
                self.do_shard(&shard, Some(matched)).await?;
            }
        }
        Ok(tried)
    }

    async fn do_shard(&mut self, shard: &Shard, matched: Option<MatchedFilm>) -> Result<(), Error> {
        let done = contained(self.duty.recommender.settle_shard(shard, matched)).await;
        if !self.note(done)? {
            self.failed.shards.insert(shard.id.clone());
            self.failed.films.insert(shard.film.clone());
        }
        Ok(())
    }

    /// Notes what came of a piece of work. One that fails does not keep the others from being done, unless none of them can be: that
    /// is no failure of the piece, and ends the round.
    fn note(&mut self, done: Result<(), Error>) -> Result<bool, Error> {
        match done {
            Ok(()) => {
                self.done += 1;
                Ok(true)
            }
            Err(error @ Error::NotReady(_)) => Err(error),
            Err(error) => {
                report(&self.duty.reporter, &error);
                self.failed_at = Instant::now();
                self.failure = Some(error);
                Ok(false)
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
        let failed: Result<(), Error> = contained(panics).await;
        assert!(matches!(
            failed,
            Err(Error::Storage(storage::Error::Panicked))
        ));
        assert!(contained(async { Ok(()) }).await.is_ok());
    }
}
