//! Lists of films: those recommended to a user, each with the keywords that say why, and those that a keyword matches.

use std::{collections::HashMap, sync::Arc};

use diesel::{Connection, QueryResult};
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{LAG_TRIES, MATCHER_DEADLINE, Recommender};
use crate::{
    actors::matcher::FindFilms,
    error::Error,
    matching::{Keyword, matches},
    store::{
        backlog,
        films::{self, Film, FilmFacts},
        looks, preferences, recommendations,
        reconcile::{self, Seen},
    },
};

/// How many bytes of text the films of one page have at most: clients accept answers of 4 MiB.
const MAX_PAGE_BYTES: i64 = 3 * 1024 * 1024;

/// How many bytes a film of a page is counted with besides its text.
const FILM_BYTES: i64 = 256;

/// From how many bytes on a page is large, and how many of these are read at a time.
const LARGE_PAGE_BYTES: i64 = 128 * 1024;
pub(super) const LARGE_PAGES: usize = 4;

/// How many films of a page are read and explained at a time.
const PART_OF_PAGE: usize = 32;

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

impl Recommender {
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
