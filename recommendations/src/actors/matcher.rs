//! Holds the index of all preferences and films, and follows the changes of all replicas.
//!
//! Films that this replica saves arrive with their words. As long as they follow on each other in the
//! order of changes the index takes them as they come; otherwise the list of changes is read.

use std::{
    borrow::Cow, collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration,
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture,
};
use futures::future::{self, MaybeDone};
use proto::{FilmId, UserId};
use runtime::{Backoff, ChildGuard, telemetry::counted};
use storage::Database;

use crate::{
    figures::MatcherFigures,
    matching::{FilmWords, Index, Keyword},
    store::{
        news::{self, Fresh, News, Step},
        preferences,
        reconcile::Seen,
        sequence,
    },
};

/// How often it looks for the changes of other replicas.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What is committed one after the other is read together, after so much time.
const PAUSE: Duration = Duration::from_millis(2);

/// How many changes, films or preferences it reads at once.
const CHANGES: i64 = 2_000;
const FILMS: i64 = 500;
const PREFERENCES: i64 = 10_000;

/// How many groups of films that were saved here wait to be put into the index.
const SAVED: usize = 1_000;

/// The owner of the index. Runs on a thread of its own.
pub struct Matcher {
    guard: ChildGuard,
    database: Database,
    index: Index,
    /// The number of the last change that the index has; none until it was built.
    watermark: Option<i64>,
    /// The highest number that it has seen when its place in the list was lost.
    seen: i64,
    /// Something is being read, or will be read again after a failed build: never two at once, or
    /// the older would take the place of the newer and its changes be passed over.
    reading: bool,
    asked_again: bool,
    /// What was saved here and is not in the index yet, by the first number.
    saved: BTreeMap<i64, FilmsSaved>,
    backoff: Backoff,
    figures: MatcherFigures,
}

/// The matcher has not read everything yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the preferences are still being read")]
pub struct NotReady;

/// Asks for the users who follow a keyword that the film matches, in order.
#[derive(Debug, Message)]
#[rtype(result = "Result<Seen<Vec<UserId>>, NotReady>")]
pub struct UsersMatching(pub Arc<FilmWords>);

/// Asks for the ids of the films that the keyword matches.
#[derive(Debug, Message)]
#[rtype(result = "Result<Seen<Arc<[Arc<str>]>>, NotReady>")]
pub struct FilmsMatching(pub Keyword);

/// Asks for the ids of the films that the keyword matches, and how many films are known in all.
#[derive(Debug, Message)]
#[rtype(result = "Result<(Seen<Vec<Arc<str>>>, usize), NotReady>")]
pub struct FindFilms(pub Keyword);

/// Asks how many films each of the keywords matches.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<usize>, NotReady>")]
pub struct CountFilms(pub Vec<Keyword>);

/// Something was committed: read it soon.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CatchUp;

/// Films were committed here, one after the other in the order of changes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FilmsSaved {
    /// The number before their first.
    pub after: i64,
    /// The last of their numbers: between the two nothing else changed.
    pub through: i64,
    /// Those that changed: the number of the change, the id, and the words that the film has since.
    pub films: Vec<(i64, FilmId, Arc<FilmWords>)>,
}

type Built = Result<(Index, i64), storage::Error>;

impl Matcher {
    /// A matcher that reads everything in `database` when it starts.
    pub fn new(guard: ChildGuard, database: Database, mut figures: MatcherFigures) -> Self {
        figures.clear();
        Self {
            figures,
            guard,
            database,
            index: Index::new(),
            watermark: None,
            seen: 0,
            reading: false,
            asked_again: false,
            saved: BTreeMap::new(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
        }
    }

    fn build(&mut self, context: &mut Context<Self>) {
        self.reading = true;
        let built: Pin<Box<dyn Future<Output = Built>>> =
            Box::pin(build(self.database.clone(), self.seen));
        context.spawn(built.into_actor(self).map(Self::take_over));
    }

    fn take_over(built: Built, matcher: &mut Self, context: &mut Context<Self>) {
        match built {
            Ok((index, watermark)) => {
                matcher.reading = false;
                let (preferences, films) = (index.preferences(), index.films());
                tracing::info!(
                    preferences,
                    films,
                    "read {} and {}",
                    counted(preferences as u64, "preference"),
                    counted(films as u64, "film")
                );
                matcher.index = index;
                matcher.watermark = Some(watermark);
                matcher.figures.show(&matcher.index);
                matcher.succeeded();
                matcher.catch_up(context);
            }
            Err(error) => {
                let delay = matcher.failed(&error);
                context.run_later(delay, Self::build);
            }
        }
    }

    fn catch_up(&mut self, context: &mut Context<Self>) {
        let Some(watermark) = self.watermark else {
            return;
        };
        if std::mem::replace(&mut self.reading, true) {
            self.asked_again = true;
            return;
        }
        self.asked_again = false;
        let saved = self.saved.values().flat_map(|saved| &saved.films);
        let fresh: Fresh = saved.map(|(seq, _, words)| (*seq, words.clone())).collect();
        let database = self.database.clone();
        let look = move |conn: &mut _| news::news(conn, watermark, CHANGES, &fresh);
        let read = async move { database.read(look).await };
        context.spawn(read.into_actor(self).map(Self::learn));
    }

    fn learn(read: Result<News, storage::Error>, matcher: &mut Self, context: &mut Context<Self>) {
        matcher.reading = false;
        let news = match read {
            Ok(news) => news,
            Err(error) => {
                // The next look comes by itself.
                matcher.failed(&error);
                return;
            }
        };
        matcher.succeeded();
        if news.lost {
            tracing::warn!(
                "the list of changes was cut off too early, or the database is an older copy; everything is read again"
            );
            // What it would answer is of a database that may be gone, and nothing corrects that.
            matcher.seen = matcher
                .seen
                .max(matcher.watermark.take().unwrap_or_default());
            matcher.saved.clear();
            matcher.guard.starting(NotReady);
            matcher.figures.clear();
            matcher.build(context);
            return;
        }
        for step in news.steps {
            apply(&mut matcher.index, step);
        }
        matcher.watermark = Some(news.through);
        if news.more {
            matcher.catch_up(context);
        } else if matcher.take_saved() || matcher.asked_again {
            matcher.reading = true;
            context.run_later(PAUSE, |matcher, context| {
                matcher.reading = false;
                matcher.catch_up(context);
            });
        }
    }

    /// Puts into the index what was saved here, as far as it follows on what the index has. Returns
    /// whether something else was committed in between, which has to be read.
    fn take_saved(&mut self) -> bool {
        let Some(mut watermark) = self.watermark else {
            return false;
        };
        while let Some(first) = self.saved.first_entry() {
            if *first.key() > watermark {
                break;
            }
            let saved = first.remove();
            // Otherwise it was read: transactions are seen as a whole.
            if saved.after == watermark {
                for (_, film, words) in saved.films {
                    self.index.put_film(film.as_str(), &words);
                }
            }
            watermark = watermark.max(saved.through);
        }
        self.watermark = Some(watermark);
        !self.saved.is_empty()
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.guard.ready();
    }

    fn failed(&mut self, error: &storage::Error) -> Duration {
        match self.watermark {
            Some(_) => error.report(&self.guard.reporter(), "cannot follow changes"),
            // The log tells already that the database is unavailable.
            None if error.is_transient() => self
                .guard
                .blocked(format_args!("cannot read the preferences: {error}")),
            None => self
                .guard
                .not_ready(format_args!("cannot read the preferences: {error}")),
        }
        self.backoff.next_delay()
    }

    fn ready(&self) -> Result<i64, NotReady> {
        self.watermark.ok_or(NotReady)
    }
}

runtime::requested!(Matcher);

impl Actor for Matcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.guard.starting(NotReady);
        self.build(context);
        context.run_interval(LOOK_INTERVAL, |matcher, context| {
            if matcher.watermark.is_some() {
                matcher.figures.show(&matcher.index);
            }
            matcher.catch_up(context);
        });
    }
}

impl Handler<UsersMatching> for Matcher {
    type Result = MessageResult<UsersMatching>;

    fn handle(&mut self, message: UsersMatching, _: &mut Context<Self>) -> Self::Result {
        // Observes when it is dropped.
        let _timer = self.figures.users_search.start_timer();
        MessageResult(self.ready().map(|watermark| Seen {
            found: self.index.users_matching(&message.0),
            watermark,
        }))
    }
}

impl Handler<FilmsMatching> for Matcher {
    type Result = MessageResult<FilmsMatching>;

    fn handle(&mut self, message: FilmsMatching, _: &mut Context<Self>) -> Self::Result {
        // Observes when it is dropped.
        let _timer = self.figures.films_search.start_timer();
        MessageResult(self.ready().map(|watermark| Seen {
            found: self.index.films_matching(&message.0).into(),
            watermark,
        }))
    }
}

impl Handler<FindFilms> for Matcher {
    type Result = MessageResult<FindFilms>;

    fn handle(&mut self, message: FindFilms, _: &mut Context<Self>) -> Self::Result {
        // Observes when it is dropped.
        let _timer = self.figures.films_search.start_timer();
        MessageResult(self.ready().map(|watermark| {
            let found = self.index.films_matching(&message.0);
            (Seen { found, watermark }, self.index.films())
        }))
    }
}

impl Handler<CountFilms> for Matcher {
    type Result = MessageResult<CountFilms>;

    fn handle(&mut self, message: CountFilms, _: &mut Context<Self>) -> Self::Result {
        let count = |keyword| self.index.count_films(keyword);
        MessageResult(self.ready().map(|_| message.0.iter().map(count).collect()))
    }
}

impl Handler<CatchUp> for Matcher {
    type Result = ();

    fn handle(&mut self, _: CatchUp, context: &mut Context<Self>) {
        self.catch_up(context);
    }
}

impl Handler<FilmsSaved> for Matcher {
    type Result = ();

    fn handle(&mut self, saved: FilmsSaved, context: &mut Context<Self>) {
        if self.saved.len() >= SAVED {
            // They are read instead.
            self.saved.clear();
        }
        self.saved.insert(saved.after, saved);
        // What is being read comes first.
        if !self.reading && self.take_saved() {
            self.catch_up(context);
        }
    }
}

/// Reads everything. What is committed meanwhile may be read or not: the watermark was taken before. No number up to `seen` is given
/// again.
async fn build(database: Database, seen: i64) -> Built {
    let raise = move |conn: &mut _| sequence::raise(conn, seen);
    database.write(raise).await?;
    let mut after = Some(i32::MIN);
    while let Some(from) = after {
        let normalise = move |conn: &mut _| preferences::normalise(conn, from, PREFERENCES);
        after = database.write(normalise).await?;
    }
    let watermark = database.read(sequence::current).await?;
    let (preferences, films) = future::try_join(
        index_of_preferences(database.clone()),
        index_of_films(database),
    )
    .await?;
    Ok((preferences.with_films_of(films), watermark))
}

async fn index_of_preferences(database: Database) -> Result<Index, storage::Error> {
    let mut index = Index::new();
    let read = |after| {
        let page = move |conn: &mut _| preferences::page_after(conn, after, PREFERENCES);
        Ahead::begin(database.read(page))
    };
    let mut page = read(i32::MIN).await;
    while let rows = page.done().await?
        && let Some(last) = rows.last_id()
    {
        page = read(last).await;
        index = beside(move || {
            for (user, keyword, normal) in rows.iter() {
                let normal =
                    normal.map_or_else(|| Cow::Owned(Keyword::normal_of(keyword)), Cow::Borrowed);
                // What older deployments stored may be no keyword; it matches nothing.
                let _ = index.follow_normal(user, keyword, &normal);
            }
            index
        })
        .await?;
    }
    Ok(index)
}

async fn index_of_films(database: Database) -> Result<Index, storage::Error> {
    let mut index = Index::new();
    let read = |after: String| {
        let page = move |conn: &mut _| news::films(conn, &after, FILMS);
        Ahead::begin(database.read(page))
    };
    let mut page = read(String::new()).await;
    while let films = page.done().await?
        && let Some((last, _)) = films.last()
    {
        page = read(last.to_string()).await;
        index = beside(move || {
            for (film, words) in films {
                index.put_film(film.as_str(), &words);
            }
            index
        })
        .await?;
    }
    Ok(index)
}

/// Runs `work` on another thread, so that preferences and films are put in at the same time.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, storage::Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| storage::Error::Panicked)
}

/// A read that goes on while what was read before is put into the index.
struct Ahead<F: Future>(Pin<Box<MaybeDone<F>>>);

impl<F: Future> Ahead<F> {
    /// Begins to read at once, where a future would not before it is waited for.
    async fn begin(read: F) -> Self {
        let mut read = Box::pin(future::maybe_done(read));
        // Whether or not it is done, it will be asked again.
        let _ = futures::poll!(read.as_mut());
        Self(read)
    }

    async fn done(mut self) -> F::Output {
        self.0.as_mut().await;
        let output = self.0.as_mut().take_output();
        output.expect("it is done, and its output is taken only here")
    }
}

fn apply(index: &mut Index, step: Step) {
    match step {
        Step::Follow(user, keyword) => drop(index.follow(user, &keyword)),
        Step::Stop(user, keyword) => drop(index.stop(user, &keyword)),
        Step::Put(film, words) => index.put_film(film.as_str(), &words),
        Step::Remove(film) => drop(index.remove_film(film.as_str())),
    }
}

#[cfg(test)]
mod tests;
