//! Makes the stored recommendations of one preference what they should be, in steps.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{Effects, NO_KEYWORD, Outcome, Seen, Terms};
use crate::{
    matching::{Keyword, matches},
    store::{
        backlog::{self, WaitingPreference},
        changes,
        films::{self, Film},
        outbox, preferences, recommendations, sequence,
    },
};

/// A user begins to follow `keyword`; `seen` are the films that it matches.
pub fn add_preference(
    conn: &mut DbConnection,
    user: UserId,
    keyword: &str,
    seen: &Seen<Arc<[Arc<str>]>>,
    terms: &Terms,
) -> QueryResult<Outcome> {
    let seq = sequence::take(conn, 1)?;
    if preferences::exists(conn, user, keyword)? {
        return Ok(Outcome::Unchanged);
    }
    if preferences::count(conn, user)? >= terms.limits.keywords as i64 {
        return Ok(Outcome::Full);
    }
    let Some(changed) = changed_films(conn, seen.watermark, terms.limits.lag)? else {
        return Ok(Outcome::Lagging);
    };
    preferences::insert(conn, user, keyword, terms.now)?;
    changes::record_preference(conn, seq, user, keyword, terms.now)?;
    settle(conn, user, keyword, "", seen, &changed, terms)
}

/// A user stops to follow `keyword`; `seen` are the films that it matches.
pub fn delete_preference(
    conn: &mut DbConnection,
    user: UserId,
    keyword: &str,
    seen: &Seen<Arc<[Arc<str>]>>,
    terms: &Terms,
) -> QueryResult<Outcome> {
    let seq = sequence::take(conn, 1)?;
    let Some(changed) = changed_films(conn, seen.watermark, terms.limits.lag)? else {
        return Ok(Outcome::Lagging);
    };
    if !preferences::delete(conn, user, keyword)? {
        return Ok(Outcome::Unchanged);
    }
    changes::record_preference(conn, seq, user, keyword, terms.now)?;
    settle(conn, user, keyword, "", seen, &changed, terms)
}

/// Goes on with a preference in the backlog under `work_id`; `seen` are the films that its keyword
/// matches.
pub fn continue_preference(
    conn: &mut DbConnection,
    work_id: i64,
    seen: &Seen<Arc<[Arc<str>]>>,
    terms: &Terms,
) -> QueryResult<Outcome> {
    sequence::take(conn, 1)?;
    let Some(WaitingPreference {
        user,
        keyword,
        after,
        ..
    }) = backlog::preference(conn, work_id)?
    else {
        return Ok(Outcome::Unchanged);
    };
    let Some(changed) = changed_films(conn, seen.watermark, terms.limits.lag)? else {
        return Ok(Outcome::Lagging);
    };
    settle(conn, user, &keyword, &after, seen, &changed, terms)
}

/// Takes from a user who follows nothing what is recommended nevertheless: films of a keyword in the backlog, and rows that an older program
/// left. As far as the limits go; `Unchanged` when nothing is left, or the user follows something again.
pub fn forget_recommendations(
    conn: &mut DbConnection,
    user: UserId,
    terms: &Terms,
) -> QueryResult<Outcome> {
    sequence::take(conn, 1)?;
    if preferences::count(conn, user)? > 0 {
        return Ok(Outcome::Unchanged);
    }
    let ids = recommendations::some_of_user(conn, user, terms.limits.films)?;
    if ids.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    let films = films::find_all(conn, &ids)?;
    let superfluous: Vec<&Film> = films.iter().collect();
    let effects = apply(conn, user, &[], &superfluous, terms)?;
    // Those of films that are not known: nothing counts them.
    recommendations::delete_films(conn, user, &ids)?;
    Ok(Outcome::Changed(Effects {
        users: vec![user],
        ..effects
    }))
}

/// The films that changed after the number `watermark`, or `None` if they are more than `lag`, or cannot be told.
pub fn changed_films(
    conn: &mut DbConnection,
    watermark: i64,
    lag: usize,
) -> QueryResult<Option<HashSet<FilmId>>> {
    if watermark == NO_KEYWORD {
        return Ok(Some(HashSet::new()));
    }
    let changed = changes::films_after(conn, watermark, lag as i64 + 1)?;
    if changed.len() > lag || changes::lost_after(conn, watermark)? {
        return Ok(None);
    }
    Ok(Some(changed.into_iter().collect()))
}

/// Recommends to `user` what the user's keywords match and nothing else, among the films that
/// `keyword` may have to do with, after the film `after` and as far as the limits go; the rest goes
/// to the backlog.
fn settle(
    conn: &mut DbConnection,
    user: UserId,
    keyword: &str,
    after: &str,
    seen: &Seen<Arc<[Arc<str>]>>,
    changed: &HashSet<FilmId>,
    terms: &Terms,
) -> QueryResult<Outcome> {
    let known = seen.found.iter().map(AsRef::as_ref);
    let candidates: BTreeSet<&str> = known
        .chain(changed.iter().map(FilmId::as_str))
        .filter(|film| *film > after)
        .collect();
    let batch: Vec<FilmId> = candidates
        .iter()
        .take(terms.limits.films)
        .map(|film| FilmId::stored(film))
        .collect();
    let rest = candidates.len() > batch.len();
    let mut effects = settle_films(conn, user, keyword, &batch, changed, terms)?;
    match batch.last().filter(|_| rest) {
        Some(last) => backlog::put_preference(conn, (user, keyword), last.as_str(), terms.now)?,
        None => backlog::clear_preference(conn, user, keyword)?,
    }
    effects.backlog = rest;
    Ok(Outcome::Changed(effects))
}

fn settle_films(
    conn: &mut DbConnection,
    user: UserId,
    keyword: &str,
    ids: &[FilmId],
    changed: &HashSet<FilmId>,
    terms: &Terms,
) -> QueryResult<Effects> {
    let films = films::find_all(conn, ids)?;
    let stored = recommendations::films_of_user(conn, user, ids)?;
    let keywords = preferences::of_user(conn, user)?;
    let followed = keywords.iter().any(|text| text == keyword);
    let keywords: Vec<Keyword> = keywords
        .iter()
        .filter_map(|text| Keyword::parse(text).ok())
        .collect();
    let (mut missing, mut superfluous) = (Vec::new(), Vec::new());
    for film in &films {
        // The index has compared this keyword with the film as it is.
        let certain = followed && !changed.contains(&film.id);
        let words = OnceCell::new();
        let wanted = !film.deleted
            && (certain
                || keywords
                    .iter()
                    .any(|keyword| matches(words.get_or_init(|| film.facts.words()), keyword)));
        match (wanted, stored.contains(&film.id)) {
            (true, false) => missing.push(film),
            (false, true) => superfluous.push(film),
            _ => {}
        }
    }
    apply(conn, user, &missing, &superfluous, terms)
}

fn apply(
    conn: &mut DbConnection,
    user: UserId,
    missing: &[&Film],
    superfluous: &[&Film],
    terms: &Terms,
) -> QueryResult<Effects> {
    let pairs: Vec<_> = missing.iter().map(|film| (user, *film)).collect();
    recommendations::insert(conn, &pairs, terms.now)?;
    let (come, gone) = (ids(missing), ids(superfluous));
    films::add_recommended(conn, &come, 1)?;
    recommendations::delete_films(conn, user, &gone)?;
    films::add_recommended(conn, &gone, -1)?;
    let mut events = state(conn, missing, 1, terms)?;
    events |= state(conn, superfluous, -1, terms)?;
    let touched = !missing.is_empty() || !superfluous.is_empty();
    Ok(Effects {
        users: if touched { vec![user] } else { Vec::new() },
        events,
        ..Effects::default()
    })
}

/// Tells the catalog which of `films` are recommended to any user, now that each is recommended to `by`
/// users more, unless it was told already.
fn state(conn: &mut DbConnection, films: &[&Film], by: i64, terms: &Terms) -> QueryResult<bool> {
    let mut told = false;
    for status in [true, false] {
        let news: Vec<FilmId> = films
            .iter()
            .filter(|film| (film.recommended_count + by > 0) == status)
            .filter(|film| film.stated != Some(status))
            .map(|film| film.id.clone())
            .collect();
        if news.is_empty() {
            continue;
        }
        let first = sequence::take(conn, news.len() as i64)?;
        let statuses: Vec<_> = (first..)
            .zip(&news)
            .map(|(seq, film)| (seq, film.clone(), status))
            .collect();
        outbox::put(conn, &statuses, terms.now)?;
        films::set_stated(conn, &news, status)?;
        told = true;
    }
    Ok(told)
}

fn ids(films: &[&Film]) -> Vec<FilmId> {
    films.iter().map(|film| film.id.clone()).collect()
}
