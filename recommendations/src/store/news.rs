//! What the matcher reads: everything at first, then what changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{
    changes::{self, Change},
    films, preferences, sequence,
};
use crate::matching::{FilmWords, Keyword};

/// One thing to do to an index. All of them may be done twice.
#[derive(Debug, Clone)]
pub enum Step {
    /// A user follows a keyword.
    Follow(UserId, Keyword),
    /// A user does not follow a keyword.
    Stop(UserId, Keyword),
    /// A film is like this.
    Put(FilmId, Arc<FilmWords>),
    /// There is no such film.
    Remove(FilmId),
}

/// Films as they were saved by this replica, under the numbers of those changes: what need not be
/// read and cut into words again.
pub type Fresh = BTreeMap<i64, Arc<FilmWords>>;

/// What changed after some number.
#[derive(Debug)]
pub struct News {
    /// How the index becomes as new as `through`, or newer.
    pub steps: Vec<Step>,
    /// The number up to which all changes were read.
    pub through: i64,
    /// There may be more after it.
    pub more: bool,
    /// The list of changes does not reach back far enough, or the database was replaced by an older copy:
    /// everything has to be read again.
    pub lost: bool,
}

/// What changed after the number `watermark`; at most `limit` changes.
pub fn news(
    conn: &mut DbConnection,
    watermark: i64,
    limit: i64,
    fresh: &Fresh,
) -> QueryResult<News> {
    // Before the list, so that every change up to it is on the list.
    let current = sequence::current(conn)?;
    let (listed, end) = changes::page_after(conn, watermark, limit)?;
    let lost = changes::lost_after(conn, watermark)?;
    let last = listed.last().map_or(watermark, |(seq, _)| *seq);
    let through = end.unwrap_or(last.max(current));
    let (mut pairs, mut last_of_film) = (BTreeSet::new(), HashMap::new());
    for (seq, change) in listed {
        match change {
            Change::Preference { user, keyword } => drop(pairs.insert((user, keyword))),
            Change::Film(film) => drop(last_of_film.insert(film, seq)),
        }
    }
    let mut steps = preference_steps(conn, pairs.into_iter().collect())?;
    let mut unknown = BTreeSet::new();
    for (film, last) in last_of_film {
        match fresh.get(&last) {
            Some(words) => steps.push(Step::Put(film, words.clone())),
            None => drop(unknown.insert(film)),
        }
    }
    steps.extend(film_steps(conn, unknown)?);
    Ok(News {
        steps,
        through,
        more: end.is_some(),
        lost,
    })
}

/// The first `limit` films with an id above `after`, with their ids and words.
pub fn films(
    conn: &mut DbConnection,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<(FilmId, FilmWords)>> {
    let films = films::page_after(conn, after, limit)?.into_iter();
    Ok(films.map(|film| (film.id, film.facts.words())).collect())
}

fn preference_steps(
    conn: &mut DbConnection,
    pairs: Vec<(UserId, String)>,
) -> QueryResult<Vec<Step>> {
    let existing = preferences::existing(conn, &pairs)?;
    let steps = pairs.into_iter().filter_map(|pair| {
        // What older deployments stored may be no keyword; it matches nothing.
        let keyword = Keyword::parse(&pair.1).ok()?;
        Some(if existing.contains(&pair) {
            Step::Follow(pair.0, keyword)
        } else {
            Step::Stop(pair.0, keyword)
        })
    });
    Ok(steps.collect())
}

fn film_steps(conn: &mut DbConnection, ids: BTreeSet<FilmId>) -> QueryResult<Vec<Step>> {
    let wanted: Vec<FilmId> = ids.iter().cloned().collect();
    let found = films::find_all(conn, &wanted)?;
    let mut gone = ids;
    let mut steps = Vec::new();
    for film in found {
        if !film.deleted {
            gone.remove(&film.id);
            steps.push(Step::Put(film.id, Arc::new(film.facts.words())));
        }
    }
    steps.extend(gone.into_iter().map(Step::Remove));
    Ok(steps)
}
