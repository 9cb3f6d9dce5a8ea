//! Saves the films of a group in a handful of statements.
//!
//! Everything that the group needs is read first, decided in memory, and written at the end. Films
//! with very many recommendations go through [`settle`], one by one, in the same transaction.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{
    Effects, NUMBERS_OF_FILM, Outcome, Seen, Terms, corrections::Corrections, film::settle,
};
use crate::{
    matching::FilmWords,
    store::{
        backlog, changes,
        films::{self, Film, FilmFacts},
        outbox, recommendations, sequence,
        versions::is_late,
    },
};

/// A film as its catalog sent it, with the users that the matcher found for it.
#[derive(Debug, Clone)]
pub struct FilmToSave {
    /// Its catalog's id for it.
    pub id: FilmId,
    /// What its catalog says of it.
    pub facts: Arc<FilmFacts>,
    /// The version that its catalog gave it, if it gives any.
    pub version: Option<i64>,
    /// Its words, for matching.
    pub words: Arc<FilmWords>,
    /// The users with a preference that the words match, in order.
    pub seen: Seen<Vec<UserId>>,
}

/// What became of a film of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The number of the film's change. The next number is the film's too, for its event.
    pub seq: i64,
    /// What the save came to.
    pub outcome: Outcome,
}

/// Saves the first of `films`, as many as suit one batch and at least one. The films of a batch take
/// one range of numbers, in their order.
pub fn save_films(
    conn: &mut DbConnection,
    films: &[&FilmToSave],
    terms: &Terms,
) -> QueryResult<Vec<Saved>> {
    let films = batch(films, terms);
    let place = sequence::take_place(conn, NUMBERS_OF_FILM * films.len() as i64)?;
    let ids: Vec<FilmId> = films.iter().map(|film| film.id.clone()).collect();
    let stored = films::find_all(conn, &ids)?.into_iter();
    let mut stored: HashMap<FilmId, Film> = stored.map(|film| (film.id.clone(), film)).collect();
    let known: Vec<FilmId> = stored.keys().cloned().collect();
    let backlog = backlog::of_films(conn, &known)?;
    let oldest = films.iter().map(|film| film.seen.watermark).min();
    let corrections = Corrections::read(conn, oldest.unwrap_or_default(), place, terms)?;

    let mut saved = Vec::with_capacity(films.len());
    let mut updates = Vec::with_capacity(films.len());
    for (film, seq) in films
        .iter()
        .zip((place.first..).step_by(NUMBERS_OF_FILM as usize))
    {
        let before = stored.remove(&film.id);
        let newest = before.as_ref().and_then(|before| before.version);
        let outcome = if is_late(newest, film.version, terms.now) {
            Outcome::Unchanged
        } else if let Some(users) = corrections.apply(&film.words, &film.seen) {
            let is_in_backlog = backlog.contains(&film.id);
            updates.push(Update::new(seq, film, before, users, is_in_backlog, terms));
            Outcome::Changed(Effects::default())
        } else {
            Outcome::Lagging
        };
        saved.push(Saved { seq, outcome });
    }
    let mut effects = write(conn, &mut updates, terms)?.into_iter();
    for saved in &mut saved {
        if let Outcome::Changed(of_film) = &mut saved.outcome {
            *of_film = effects.next().unwrap_or_default();
        }
    }
    Ok(saved)
}

/// The first of `films` that are different films and together not too much.
fn batch<'a>(films: &'a [&'a FilmToSave], terms: &Terms) -> &'a [&'a FilmToSave] {
    let mut ids = HashSet::new();
    let (mut users, mut count) = (0, 0);
    for film in films {
        users += film.seen.found.len();
        if !ids.insert(&film.id) || users > terms.limits.scan {
            break;
        }
        count += 1;
    }
    films.get(..count.max(1)).unwrap_or(films)
}

/// A film of the group that is written.
struct Update<'a> {
    seq: i64,
    /// As it is written.
    film: Film,
    users: Cow<'a, [UserId]>,
    is_known: bool,
    /// Work for it waits in the backlog.
    is_in_backlog: bool,
    /// It looks different in a list of recommendations.
    is_edited: bool,
    /// It has too many recommendations for the group's statements.
    is_large: bool,
}

impl<'a> Update<'a> {
    fn new(
        seq: i64,
        sent: &FilmToSave,
        before: Option<Film>,
        users: Cow<'a, [UserId]>,
        is_in_backlog: bool,
        terms: &Terms,
    ) -> Self {
        let is_known = before.is_some();
        let mut film = before.unwrap_or_else(|| Film::new(sent.id.clone()));
        let rows = users.len() as u64 + film.recommended_count.unsigned_abs();
        let is_edited = is_known && !film.facts.looks_like(&sent.facts);
        film.facts = FilmFacts::clone(&sent.facts);
        film.version = sent.version.or(film.version);
        film.deleted = false;
        Self {
            seq,
            film,
            users,
            is_known,
            is_in_backlog,
            is_edited,
            is_large: rows > terms.limits.rows as u64,
        }
    }

    /// Compares the film's `stored` rows, each an id and a user, with its users. Returns the users
    /// without a row and the ids of the rows without a user.
    fn compare(
        &mut self,
        stored: &[(i64, UserId)],
        effects: &mut Effects,
    ) -> (Vec<UserId>, Vec<i64>) {
        let mut are_stored = vec![false; self.users.len()];
        let mut superfluous = Vec::new();
        for (id, user) in stored {
            let place = self.users.binary_search(user).ok();
            match place.and_then(|place| are_stored.get_mut(place)) {
                Some(is_stored) => *is_stored = true,
                None => superfluous.push(*id),
            }
            if place.is_none() || self.is_edited {
                effects.users.push(*user);
            }
        }
        let wanted = self.users.iter().zip(are_stored);
        let missing = wanted.filter_map(|(user, is_stored)| (!is_stored).then_some(*user));
        let missing: Vec<UserId> = missing.collect();
        self.film.recommended_count += missing.len() as i64 - superfluous.len() as i64;
        effects.users.extend(&missing);
        (missing, superfluous)
    }
}

/// Writes all `updates`; returns the effects of each.
fn write(
    conn: &mut DbConnection,
    updates: &mut [Update<'_>],
    terms: &Terms,
) -> QueryResult<Vec<Effects>> {
    let mut effects = Vec::with_capacity(updates.len());
    let mut missing = Vec::with_capacity(updates.len());
    let mut superfluous = Vec::new();
    let stored = stored_rows(conn, updates)?;
    for update in updates.iter_mut() {
        let mut of_film = Effects::default();
        if update.is_large {
            let (users, is_edited) = (&update.users, update.is_edited);
            of_film = settle(conn, &mut update.film, users, is_edited, terms)?;
            missing.push(Vec::new());
        } else {
            let rows = stored.get(&update.film.id).map_or(&[][..], Vec::as_slice);
            let (users, ids) = update.compare(rows, &mut of_film);
            missing.push(users);
            superfluous.extend(ids);
        }
        effects.push(of_film);
    }

    let mut statuses = Vec::new();
    for (update, effects) in updates.iter_mut().zip(&mut effects) {
        if let Some(status) = update.film.status_to_tell() {
            update.film.stated = Some(status);
            effects.events = true;
            statuses.push((update.seq + 1, status));
        }
    }
    let updates = &*updates;
    let small = || updates.iter().filter(|update| !update.is_large);
    let told = updates
        .iter()
        .zip(&effects)
        .filter(|(_, effects)| effects.events);
    let statuses: Vec<outbox::Status> = told
        .zip(&statuses)
        .map(|((update, _), (seq, status))| (*seq, update.film.id.clone(), *status))
        .collect();
    let pairs: Vec<(UserId, &Film)> = updates
        .iter()
        .zip(&missing)
        .flat_map(|(update, users)| users.iter().map(|user| (*user, &update.film)))
        .collect();
    let done: Vec<FilmId> = small()
        .filter(|update| update.is_in_backlog)
        .map(|update| update.film.id.clone())
        .collect();
    let changed: Vec<(i64, FilmId)> = updates
        .iter()
        .map(|update| (update.seq, update.film.id.clone()))
        .collect();
    let films: Vec<(&Film, bool)> = updates
        .iter()
        .map(|update| (&update.film, update.is_known))
        .collect();

    recommendations::delete(conn, &superfluous)?;
    recommendations::insert(conn, &pairs, terms.now)?;
    backlog::clear_films(conn, &done)?;
    changes::record_films(conn, &changed, terms.now)?;
    films::put(conn, &films, terms.now)?;
    outbox::put(conn, &statuses, terms.now)?;
    Ok(effects)
}

/// The stored rows of those `updates` that are small: ids and users, by film.
fn stored_rows(
    conn: &mut DbConnection,
    updates: &[Update<'_>],
) -> QueryResult<HashMap<FilmId, Vec<(i64, UserId)>>> {
    let known = updates
        .iter()
        .filter(|update| update.is_known && !update.is_large);
    let known: Vec<FilmId> = known.map(|update| update.film.id.clone()).collect();
    let mut rows: HashMap<FilmId, Vec<(i64, UserId)>> = HashMap::new();
    for (id, user, film) in recommendations::of_films(conn, &known)? {
        rows.entry(film).or_default().push((id, user));
    }
    Ok(rows)
}
