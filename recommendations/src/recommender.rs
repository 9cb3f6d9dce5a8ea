//! What the service does, apart from how it is reached.

use std::{sync::Arc, time::Duration};

use chrono::{NaiveDateTime, SubsecRound, Utc};
use roaring::RoaringBitmap;
use runtime::Handle;
use storage::Database;

use crate::{
    actors::matcher::{CatchUp, CountFilms, FilmSaved, FilmsMatching, Matcher, UsersMatching},
    error::Error,
    matching::{FilmWords, Keyword, matches},
    signals::Signals,
    store::{
        backlog::Work,
        films::{self, Film, FilmFacts},
        preferences,
        recommendations::{self, Fingerprint},
        reconcile::{self, Limits, Outcome, Seen, Terms},
        sequence,
    },
    watchers::{TooManyWatchers, Watch},
};

/// How long the matcher may take to answer.
const MATCHER_DEADLINE: Duration = Duration::from_secs(5);

/// How often, and how soon again, the matcher is asked anew when its answer was too old.
const LAG_TRIES: usize = 40;
const LAG_PAUSE: Duration = Duration::from_millis(25);

/// What the service does, apart from how it is reached: asks the matcher, runs the transaction,
/// tells whom it concerns.
#[derive(Clone)]
pub struct Recommender {
    database: Database,
    matcher: Handle<Matcher>,
    signals: Signals,
    limits: Limits,
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
    /// The number of the last change that is certainly seen in them.
    pub state: i64,
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
        }
    }

    /// A catalog sent a film.
    pub async fn save_film(
        &self,
        id: &str,
        facts: FilmFacts,
        version: Option<i64>,
    ) -> Result<(), Error> {
        let (facts, words) = analyse(facts).await?;
        for _ in 0..LAG_TRIES {
            let seen = self.users_matching(&words).await?;
            let (id, facts, words) = (id.to_owned(), facts.clone(), words.clone());
            let terms = self.terms();
            let save = {
                let words = words.clone();
                move |conn: &mut _| {
                    reconcile::save_film(conn, &id, &facts, version, &words, &seen, &terms)
                }
            };
            let outcome = self.database.write(save).await?;
            self.tell_of_film(&outcome, words);
            if self.settled(outcome)?.is_some() {
                return Ok(());
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// A catalog deleted a film; tells whether it was known.
    pub async fn remove_film(&self, id: &str, version: Option<i64>) -> Result<bool, Error> {
        let (id, terms) = (id.to_owned(), self.terms());
        let remove = move |conn: &mut _| reconcile::remove_film(conn, &id, version, &terms);
        let (known, outcome) = self.database.write(remove).await?;
        self.settled(outcome)?;
        Ok(known)
    }

    /// `user` begins to follow `keyword`.
    pub async fn follow(&self, user: i32, keyword: &Keyword) -> Result<(), Error> {
        for _ in 0..LAG_TRIES {
            let seen = self.films_matching(keyword).await?;
            let (text, terms) = (keyword.text().to_owned(), self.terms());
            let add =
                move |conn: &mut _| reconcile::add_preference(conn, user, &text, &seen, &terms);
            if self.settled(self.database.write(add).await?)?.is_some() {
                return Ok(());
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// `user` stops to follow the keyword `text`; tells whether the user did follow it.
    pub async fn stop_following(&self, user: i32, text: &str) -> Result<bool, Error> {
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

    async fn go_on_with_film(&self, id: i64, film: &str) -> Result<Outcome, Error> {
        let film = film.to_owned();
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
    pub async fn preferences(&self, user: i32) -> Result<Vec<(String, Option<usize>)>, Error> {
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

    /// The films recommended to `user`, newest first; `None` if nothing at all has changed since the
    /// change number `known`.
    pub async fn recommendations(
        &self,
        user: i32,
        offset: i64,
        limit: i64,
        known: i64,
    ) -> Result<Option<RecommendedPage>, Error> {
        let read = move |conn: &mut _| {
            // Before the rest: what is committed meanwhile is seen the next time, at the latest.
            let state = sequence::current(conn)?;
            if state == known {
                return Ok(None);
            }
            let total = recommendations::fingerprint(conn, user)?.total;
            let films = recommendations::page(conn, user, offset, limit)?;
            Ok(Some((
                films,
                preferences::of_user(conn, user)?,
                total,
                state,
            )))
        };
        let Some((films, texts, total, state)) = self.database.read(read).await? else {
            return Ok(None);
        };
        let explained = tokio::task::spawn_blocking(move || explain(films, &texts)).await;
        Ok(Some(RecommendedPage {
            films: explained.map_err(|_| storage::Error::Panicked)?,
            total,
            state,
        }))
    }

    /// What changes whenever the recommendations of `user` do.
    pub async fn fingerprint(&self, user: i32) -> Result<Fingerprint, Error> {
        let read = move |conn: &mut _| recommendations::fingerprint(conn, user);
        Ok(self.database.read(read).await?)
    }

    /// Begins to watch the recommendations of `user`.
    pub fn watch(&self, user: i32) -> Result<Watch, TooManyWatchers> {
        self.signals.watchers.watch(user)
    }

    async fn users_matching(&self, words: &Arc<FilmWords>) -> Result<Seen<RoaringBitmap>, Error> {
        let question = UsersMatching(words.clone());
        Ok(self.matcher.ask(question, MATCHER_DEADLINE).await??)
    }

    async fn films_matching(&self, keyword: &Keyword) -> Result<Seen<Arc<[Arc<str>]>>, Error> {
        let question = FilmsMatching(keyword.clone());
        Ok(self.matcher.ask(question, MATCHER_DEADLINE).await??)
    }

    /// After a transaction: tells whom it concerns. Returns whether anything changed, or `None` if
    /// it has to be done again with a newer answer of the matcher.
    fn settled(&self, outcome: Outcome) -> Result<Option<bool>, Error> {
        match outcome {
            Outcome::Unchanged => Ok(Some(false)),
            Outcome::Full => Err(Error::TooManyKeywords(self.limits.keywords)),
            Outcome::Lagging => Ok(None),
            Outcome::Changed(effects) => {
                self.signals.committed(&effects);
                if effects.film_seq.is_none() {
                    // If it cannot be told it finds the change by itself.
                    let _ = self.matcher.tell(CatchUp);
                }
                Ok(Some(true))
            }
        }
    }

    /// After a transaction: spares the matcher the work of reading the film that was saved.
    fn tell_of_film(&self, outcome: &Outcome, words: Arc<FilmWords>) {
        if let Outcome::Changed(effects) = outcome
            && let Some(seq) = effects.film_seq
        {
            // If it cannot be told it reads the film.
            let _ = self.matcher.tell(FilmSaved { seq, words });
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
            now: now(),
        }
    }
}

/// The time as the database can hold it.
fn now() -> NaiveDateTime {
    Utc::now().naive_utc().trunc_subsecs(6)
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

fn explain(films: Vec<Film>, texts: &[String]) -> Vec<Recommended> {
    let keywords: Vec<Keyword> = texts
        .iter()
        .filter_map(|text| Keyword::parse(text).ok())
        .collect();
    let explained = films.into_iter().map(|film| {
        let words = film.facts.words();
        let matching = keywords.iter().filter(|keyword| matches(&words, keyword));
        Recommended {
            keywords: matching.map(|keyword| keyword.text().to_owned()).collect(),
            film,
        }
    });
    explained.collect()
}
