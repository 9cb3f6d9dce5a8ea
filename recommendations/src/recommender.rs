//! What the service does, apart from how it is reached.

mod changes;
mod forgetting;
mod pages;
mod rest;

use std::{collections::HashSet, sync::Arc, time::Duration};

use proto::UserId;
use runtime::Handle;
use storage::Database;
use tokio::sync::{Semaphore, broadcast};

use self::pages::LARGE_PAGES;
pub use self::pages::Recommended;
use crate::{
    actors::matcher::{CatchUp, CountFilms, FilmsMatching, Matcher, UsersMatching},
    error::Error,
    matching::{FilmWords, Keyword},
    signals::Signals,
    store::{
        films, looks, outbox, preferences,
        recommendations::{self, Fingerprint},
        reconcile::{Limits, Outcome, Seen, Terms},
        sequence, versions,
    },
    watchers::{TooManyWatchers, Watch},
};

/// How long the matcher may take to answer.
const MATCHER_DEADLINE: Duration = Duration::from_secs(5);

/// How often, and how soon, the matcher is asked again when its answer was too old.
const LAG_TRIES: usize = 40;
const LAG_PAUSE: Duration = Duration::from_millis(25);

/// What the service does, apart from how it is reached: asks the matcher, runs the transaction,
/// sends the signals.
#[derive(Clone)]
pub struct Recommender {
    database: Database,
    matcher: Handle<Matcher>,
    signals: Signals,
    limits: Limits,
    large_pages: Arc<Semaphore>,
}

/// What the catalogs are to know of some films.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// The films that are recommended to any user.
    pub recommended: HashSet<String>,
    /// The films of which an event is not known to be with the broker.
    pub pending: HashSet<String>,
    /// The version that status events had reached before these were read.
    pub version: i64,
}

impl Recommender {
    /// A recommender that keeps to `limits`.
    pub fn new(
        database: Database,
        matcher: Handle<Matcher>,
        signals: Signals,
        limits: Limits,
    ) -> Self {
        Self {
            database,
            matcher,
            signals,
            limits,
            large_pages: Arc::new(Semaphore::new(LARGE_PAGES)),
        }
    }

    /// The keywords of `user`, each with how many films it matches, if the matcher can tell.
    pub async fn preferences(&self, user: UserId) -> Result<Vec<(String, Option<usize>)>, Error> {
        let texts = self
            .database
            .read(move |conn| preferences::of_user(conn, user))
            .await?;
        let parsed: Vec<Option<Keyword>> =
            texts.iter().map(|text| Keyword::parse(text).ok()).collect();
        let question = CountFilms(parsed.iter().flatten().cloned().collect());
        let Ok(Ok(counts)) = self.matcher.ask(question, Duration::from_secs(1)).await else {
            return Ok(texts.into_iter().map(|text| (text, None)).collect());
        };
        let mut counts = counts.into_iter();
        let counted = texts.into_iter().zip(parsed).map(|(text, keyword)| {
            let count = keyword.map_or(Some(0), |_| counts.next());
            (text, count)
        });
        Ok(counted.collect())
    }

    /// `user` has looked at the newest recommendations.
    pub async fn mark_seen(&self, user: UserId) -> Result<(), Error> {
        let now = versions::now();
        let look = move |conn: &mut _| looks::look(conn, user, now);
        Ok(self.database.write(look).await?)
    }

    /// Begins to learn whose recommendations are changed by this replica.
    pub fn watch_users(&self) -> broadcast::Receiver<Arc<[UserId]>> {
        self.signals.watchers.watch_users()
    }

    /// What the catalogs are to know of the films `ids` by now.
    pub async fn statuses(&self, ids: Vec<String>) -> Result<Statuses, Error> {
        let read = move |conn: &mut _| {
            Ok(Statuses {
                // Before the films: an event that they show already may come after it, never the reverse.
                version: sequence::current(conn)?,
                recommended: films::recommended_of(conn, &ids)?,
                pending: outbox::pending_of(conn, &ids)?,
            })
        };
        Ok(self.database.read(read).await?)
    }

    /// What changes whenever the recommendations of `user` do.
    pub async fn fingerprint(&self, user: UserId) -> Result<Fingerprint, Error> {
        let read = move |conn: &mut _| recommendations::fingerprint(conn, user);
        Ok(self.database.read(read).await?)
    }

    /// Begins to watch the recommendations of `user`.
    pub fn watch(&self, user: UserId) -> Result<Watch, TooManyWatchers> {
        self.signals.watchers.watch(user)
    }

    async fn users_matching(&self, words: &Arc<FilmWords>) -> Result<Seen<Vec<UserId>>, Error> {
        let question = UsersMatching(words.clone());
        Ok(self.matcher.ask(question, MATCHER_DEADLINE).await??)
    }

    async fn films_matching(&self, keyword: &Keyword) -> Result<Seen<Arc<[Arc<str>]>>, Error> {
        let question = FilmsMatching(keyword.clone());
        Ok(self.matcher.ask(question, MATCHER_DEADLINE).await??)
    }

    /// After a transaction: sends the signals. Returns whether anything changed, or `None` if
    /// it has to be done again with a newer answer of the matcher.
    fn settled(&self, outcome: Outcome) -> Result<Option<bool>, Error> {
        match outcome {
            Outcome::Unchanged => Ok(Some(false)),
            Outcome::Full => Err(Error::TooManyKeywords(self.limits.keywords)),
            Outcome::Lagging => Ok(None),
            Outcome::Changed(effects) => {
                self.signals.committed(&effects);
                // If it cannot be told it finds the change by itself.
                let _ = self.matcher.tell(CatchUp);
                Ok(Some(true))
            }
        }
    }

    async fn wait_for_matcher(&self) {
        // If it cannot be told it finds the changes by itself.
        let _ = self.matcher.tell(CatchUp);
        tokio::time::sleep(LAG_PAUSE).await;
    }

    fn terms(&self) -> Terms {
        Terms {
            limits: self.limits,
            now: versions::now(),
        }
    }
}
