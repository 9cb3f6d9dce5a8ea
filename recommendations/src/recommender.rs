//! What the service does, apart from how it is reached.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use diesel::{Connection, QueryResult};
use proto::{FilmId, UserId};
use runtime::Handle;
use storage::{Command, Database, DbConnection};
use tokio::sync::{Semaphore, broadcast};

use crate::{
    actors::matcher::{
        CatchUp, CountFilms, FilmsMatching, FilmsSaved, FindFilms, Matcher, UsersMatching,
    },
    error::Error,
    matching::{FilmWords, Keyword, matches},
    signals::Signals,
    store::{
        backlog::{self, Work},
        films::{self, Film, FilmFacts},
        looks, outbox, preferences,
        recommendations::{self, Fingerprint},
        reconcile::{self, FilmToSave, Limits, NUMBERS_OF_FILM, Outcome, Saved, Seen, Terms},
        sequence, versions,
    },
    watchers::{TooManyWatchers, Watch},
};

/// How long the matcher may take to answer.
const MATCHER_DEADLINE: Duration = Duration::from_secs(5);

/// How often, and how soon, the matcher is asked again when its answer was too old.
const LAG_TRIES: usize = 40;
const LAG_PAUSE: Duration = Duration::from_millis(25);

/// How many bytes of text the films of one page have at most: clients accept answers of 4 MiB.
const MAX_PAGE_BYTES: i64 = 3 * 1024 * 1024;

/// How many bytes a film of a page is counted with besides its text.
const FILM_BYTES: i64 = 256;

/// From how many bytes on a page is large, and how many of these are read at a time.
const LARGE_PAGE_BYTES: i64 = 128 * 1024;
const LARGE_PAGES: usize = 4;

/// How many films of a page are read and explained at a time.
const PART_OF_PAGE: usize = 32;

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

/// A film that is recommended to a user, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommended {
    /// The film.
    pub film: Film,
    /// Those of the user's keywords that it matches.
    pub keywords: Vec<String>,
}

/// Some of the films recommended to a user, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendedPage {
    /// The films asked for.
    pub films: Vec<Recommended>,
    /// How many there are in all.
    pub total: i64,
}

/// How many films are recommended to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// In all.
    pub total: i64,
    /// Since the user last looked, at most [`looks::MAX_COUNTED`].
    pub new: i64,
    /// Whether work on the user's keywords goes on, which will change the numbers.
    pub is_unsettled: bool,
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

/// Some of the films that a keyword matches, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundPage {
    /// The films asked for.
    pub films: Vec<Film>,
    /// How many match.
    pub total: usize,
    /// How many films are known.
    pub known: usize,
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

    /// A catalog sent a film.
    pub async fn save_film(
        &self,
        id: &FilmId,
        facts: FilmFacts,
        version: Option<i64>,
    ) -> Result<(), Error> {
        let (facts, words) = analyse(facts).await?;
        for _ in 0..LAG_TRIES {
            let film = FilmToSave {
                id: id.clone(),
                facts: facts.clone(),
                version,
                words: words.clone(),
                seen: self.users_matching(&words).await?,
            };
            let save = SaveFilm {
                film,
                terms: self.terms(),
                recommender: self.clone(),
            };
            match self.database.perform(save).await?.outcome {
                Outcome::Lagging => self.wait_for_matcher().await,
                _ => return Ok(()),
            }
        }
        Err(Error::Lagging)
    }

    /// A catalog deleted a film; tells whether it was known.
    pub async fn remove_film(&self, id: &FilmId, version: Option<i64>) -> Result<bool, Error> {
        let (id, terms) = (id.clone(), self.terms());
        let remove = move |conn: &mut _| reconcile::remove_film(conn, &id, version, &terms);
        let (known, outcome) = self.database.write(remove).await?;
        self.settled(outcome)?;
        Ok(known)
    }

    /// `user` begins to follow `keyword`; tells whether the user did not follow it before.
    pub async fn follow(&self, user: UserId, keyword: &Keyword) -> Result<bool, Error> {
        for _ in 0..LAG_TRIES {
            let seen = self.films_matching(keyword).await?;
            let (text, terms) = (keyword.text().to_owned(), self.terms());
            let add =
                move |conn: &mut _| reconcile::add_preference(conn, user, &text, &seen, &terms);
            if let Some(changed) = self.settled(self.database.write(add).await?)? {
                return Ok(changed);
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// `user` stops to follow the keyword `text`; tells whether the user did follow it.
    pub async fn stop_following(&self, user: UserId, text: &str) -> Result<bool, Error> {
        let keyword = Keyword::parse(text).ok();
        for _ in 0..LAG_TRIES {
            let seen = match &keyword {
                Some(keyword) => self.films_matching(keyword).await?,
                // What older deployments stored may be no keyword; it never matched anything.
                None => Seen {
                    found: Arc::default(),
                    watermark: i64::MAX,
                },
            };
            let (text, terms) = (text.to_owned(), self.terms());
            let delete =
                move |conn: &mut _| reconcile::delete_preference(conn, user, &text, &seen, &terms);
            if let Some(changed) = self.settled(self.database.write(delete).await?)? {
                return Ok(changed);
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// Goes on with a piece of work in the backlog, as far as one transaction goes.
    pub async fn go_on(&self, id: i64, work: &Work) -> Result<(), Error> {
        for _ in 0..LAG_TRIES {
            let outcome = match work {
                Work::Film { film, .. } => self.go_on_with_film(id, film).await?,
                Work::Preference { keyword, .. } => self.go_on_with_keyword(id, keyword).await?,
            };
            if self.settled(outcome)?.is_some() {
                return Ok(());
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    async fn go_on_with_film(&self, id: i64, film: &FilmId) -> Result<Outcome, Error> {
        let film = film.clone();
        let find = move |conn: &mut _| films::find(conn, &film);
        let film = self.database.read(find).await?;
        let facts = film.filter(|film| !film.deleted).map(|film| film.facts);
        let (facts, words) = analyse(facts.unwrap_or_default()).await?;
        let seen = self.users_matching(&words).await?;
        let terms = self.terms();
        let go_on =
            move |conn: &mut _| reconcile::continue_film(conn, id, &facts, &words, &seen, &terms);
        Ok(self.database.write(go_on).await?)
    }

    async fn go_on_with_keyword(&self, id: i64, text: &str) -> Result<Outcome, Error> {
        let seen = match Keyword::parse(text) {
            Ok(keyword) => self.films_matching(&keyword).await?,
            Err(_) => Seen {
                found: Arc::default(),
                watermark: i64::MAX,
            },
        };
        let terms = self.terms();
        let go_on = move |conn: &mut _| reconcile::continue_preference(conn, id, &seen, &terms);
        Ok(self.database.write(go_on).await?)
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

    /// The films recommended to `user`, newest first.
    pub async fn recommendations(
        &self,
        user: UserId,
        offset: i64,
        limit: i64,
    ) -> Result<RecommendedPage, Error> {
        let read = move |conn: &mut _| {
            let total = recommendations::fingerprint(conn, user)?.total;
            let listed = recommendations::page(conn, user, offset, limit)?;
            Ok((listed, preferences::of_user(conn, user)?, total))
        };
        let (listed, texts, total) = self.database.read(read).await?;
        let texts = Arc::new(texts);
        let (ids, bytes) = fitting(listed);
        // Only fails if the semaphore is closed, which it never is.
        let _turn = match bytes > LARGE_PAGE_BYTES {
            true => self.large_pages.acquire().await.ok(),
            false => None,
        };
        let mut films = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PART_OF_PAGE) {
            let (ids, texts) = (ids.to_vec(), texts.clone());
            let part = self.database.read(move |conn| in_order(conn, &ids)).await?;
            let explained = tokio::task::spawn_blocking(move || explain(part, &texts)).await;
            films.extend(explained.map_err(|_| storage::Error::Panicked)?);
        }
        Ok(RecommendedPage { films, total })
    }

    /// The films that `keyword` matches, whether or not a user follows it, newest first.
    pub async fn find_films(
        &self,
        keyword: &Keyword,
        offset: usize,
        limit: usize,
    ) -> Result<FoundPage, Error> {
        for _ in 0..LAG_TRIES {
            let question = FindFilms(keyword.clone());
            let (seen, known) = self.matcher.ask(question, MATCHER_DEADLINE).await??;
            // Only fails if the semaphore is closed, which it never is.
            let turn = self.large_pages.acquire().await.ok();
            let (keyword, lag) = (keyword.clone(), self.terms().limits.lag);
            let read = move |conn: &mut DbConnection| {
                conn.transaction(|conn| find_page(conn, &keyword, seen, lag, offset, limit))
            };
            let page = self.database.read(read).await?;
            drop(turn);
            if let Some((films, total)) = page {
                return Ok(FoundPage {
                    films,
                    total,
                    // The index may not know the last of them yet.
                    known: known.max(total),
                });
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// Those of `films` that are recommended to `user`, and how many films are in all.
    pub async fn marks(
        &self,
        user: UserId,
        films: Vec<FilmId>,
    ) -> Result<(Vec<Recommended>, Counts), Error> {
        let read = move |conn: &mut _| {
            let total = Counts {
                total: recommendations::fingerprint(conn, user)?.total,
                new: looks::count_new(conn, user)?,
                is_unsettled: backlog::waits_for(conn, user)?,
            };
            let marked = recommendations::among(conn, user, &films)?;
            if marked.is_empty() {
                return Ok((Vec::new(), Vec::new(), total));
            }
            let texts = preferences::of_user(conn, user)?;
            Ok((in_order(conn, &marked)?, texts, total))
        };
        let (films, texts, total) = self.database.read(read).await?;
        if films.is_empty() {
            return Ok((Vec::new(), total));
        }
        let explained = tokio::task::spawn_blocking(move || explain(films, &texts)).await;
        Ok((explained.map_err(|_| storage::Error::Panicked)?, total))
    }

    /// `keyword` in the spelling in which `user` follows it, if the user does.
    pub async fn followed(&self, user: UserId, keyword: &str) -> Result<Option<String>, Error> {
        let keyword = keyword.to_owned();
        let stored = move |conn: &mut _| preferences::stored(conn, user, &keyword);
        Ok(self.database.read(stored).await?)
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

/// Saves a film, together with the others that wait to be saved.
struct SaveFilm {
    film: FilmToSave,
    terms: Terms,
    recommender: Recommender,
}

impl Command for SaveFilm {
    type Answer = Saved;

    fn run(conn: &mut DbConnection, commands: &[&Self]) -> QueryResult<Vec<Saved>> {
        let films: Vec<&FilmToSave> = commands.iter().map(|command| &command.film).collect();
        match commands.last() {
            // The times of those that came earlier are not later.
            Some(last) => reconcile::save_films(conn, &films, &last.terms),
            None => Ok(Vec::new()),
        }
    }

    fn committed(done: &[(&Self, &Saved)]) {
        let (Some((first, first_saved)), Some((_, last_saved))) = (done.first(), done.last())
        else {
            return;
        };
        let Recommender {
            signals, matcher, ..
        } = &first.recommender;
        let mut films = Vec::with_capacity(done.len());
        for (command, saved) in done {
            if let Outcome::Changed(effects) = &saved.outcome {
                signals.committed(effects);
                let film = &command.film;
                films.push((saved.seq, film.id.clone(), film.words.clone()));
            }
        }
        // If it cannot be told it finds the changes by itself.
        let _ = matcher.tell(FilmsSaved {
            after: first_saved.seq - 1,
            through: last_saved.seq + NUMBERS_OF_FILM - 1,
            films,
        });
    }
}

/// Cuts a film into words, off the threads that serve calls: it may be 64 KiB of text.
async fn analyse(facts: FilmFacts) -> Result<(Arc<FilmFacts>, Arc<FilmWords>), Error> {
    const SHORT: usize = 4_096;
    if facts.description.len() + facts.keywords.len() < SHORT {
        let words = facts.words();
        return Ok((Arc::new(facts), Arc::new(words)));
    }
    let analysed = tokio::task::spawn_blocking(move || {
        let words = facts.words();
        (Arc::new(facts), Arc::new(words))
    });
    Ok(analysed.await.map_err(|_| storage::Error::Panicked)?)
}

/// Some of the films that the keyword matches now, newest first, and how many there are in all: the matcher's answer, corrected by
/// the films that changed since. `None` if these are too many.
fn find_page(
    conn: &mut DbConnection,
    keyword: &Keyword,
    seen: Seen<Vec<Arc<str>>>,
    lag: usize,
    offset: usize,
    limit: usize,
) -> QueryResult<Option<(Vec<Film>, usize)>> {
    let mut found = seen.found;
    let Some(changed) = reconcile::changed_films(conn, seen.watermark, lag)? else {
        return Ok(None);
    };
    if !changed.is_empty() {
        found.retain(|id| !changed.contains(&FilmId::stored(id)));
        let changed: Vec<_> = changed.into_iter().collect();
        for film in films::find_all(conn, &changed)? {
            if !film.deleted && matches(&film.facts.words(), keyword) {
                found.push(film.id.as_str().into());
            }
        }
    }
    let ids = films::newest_of(conn, &found, offset, limit)?;
    Ok(Some((in_order(conn, &ids)?, found.len())))
}

/// The first of the `listed` films, each with how many bytes it has, that fit one answer: at least
/// one. Returns also how many bytes they have together.
fn fitting(listed: Vec<(FilmId, i64)>) -> (Vec<FilmId>, i64) {
    let mut ids = Vec::with_capacity(listed.len());
    let mut total = 0;
    for (id, bytes) in listed {
        total += bytes + FILM_BYTES;
        if total > MAX_PAGE_BYTES && !ids.is_empty() {
            break;
        }
        ids.push(id);
    }
    (ids, total)
}

/// The films `ids` in this order, without those that were deleted meanwhile.
fn in_order(conn: &mut DbConnection, ids: &[FilmId]) -> QueryResult<Vec<Film>> {
    let found = films::find_all(conn, ids)?.into_iter();
    let mut found: HashMap<FilmId, Film> = found.map(|film| (film.id.clone(), film)).collect();
    let films = ids.iter().filter_map(|id| found.remove(id));
    Ok(films.filter(|film| !film.deleted).collect())
}

fn explain(films: Vec<Film>, texts: &[String]) -> Vec<Recommended> {
    let keywords: Vec<Keyword> = texts
        .iter()
        .filter_map(|text| Keyword::parse(text).ok())
        .collect();
    let explained = films.into_iter().map(|film| {
        let words = film.facts.words();
        let matching = keywords.iter().filter(|keyword| matches(&words, keyword));
        let matching = matching.map(|keyword| keyword.text().to_owned()).collect();
        Recommended {
            film: Film {
                // They can be as long as the text, and the answer does not have them.
                facts: FilmFacts {
                    keywords: Vec::new(),
                    ..film.facts
                },
                ..film
            },
            keywords: matching,
        }
    });
    explained.collect()
}
