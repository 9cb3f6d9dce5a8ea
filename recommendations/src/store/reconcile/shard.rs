//! Recommends films to the users of shards, several replicas at a time.
//!
//! The rows of a shard are written before the transaction takes its place in the order of changes, so that the others wait only while
//! it looks at what has changed since the matcher answered, corrects for it, and commits.

use std::sync::Arc;

use diesel::{prelude::*, result::Error};
use proto::UserId;
use storage::DbConnection;

use super::{
    Effects, LAST_USER, Outcome, Seen, Terms,
    corrections::Corrections,
    film::{Plan, tell, within},
};
use crate::{
    matching::FilmWords,
    store::{
        backlog::{self, WaitingFilm},
        films::{self, Film, FilmFacts},
        recommendations, sequence,
        shards::{self, Shard},
    },
};

/// What the matcher found for some of the users of a film.
#[derive(Debug, Clone)]
pub struct MatchedFilm {
    /// What was said of the film; nothing if it was deleted.
    pub facts: Option<Arc<FilmFacts>>,
    /// Its words.
    pub words: Arc<FilmWords>,
    /// Those of the users with a preference that the words match, in order.
    pub seen: Seen<Vec<UserId>>,
}

impl MatchedFilm {
    fn is_of(&self, film: &Film) -> bool {
        match &self.facts {
            Some(facts) => !film.deleted && film.facts == **facts,
            None => film.deleted,
        }
    }
}

/// Takes the next users of films that wait for the replica `owner`: for each film up to the user that goes with it. Returns a
/// shard for each film of which no other replica took them.
pub fn take_shards(
    conn: &mut DbConnection,
    films: &[(WaitingFilm, UserId)],
    owner: &str,
    terms: &Terms,
) -> QueryResult<Vec<Option<Shard>>> {
    let take = |(waiting, last): &(WaitingFilm, UserId)| {
        if !backlog::take(conn, waiting, *last)? {
            return Ok(None);
        }
        let shard = Shard {
            id: uuid::Uuid::new_v4().to_string(),
            film: waiting.film.clone(),
            first: waiting.from,
            last: *last,
            owner: owner.into(),
        };
        shards::put(conn, &shard, terms.now)?;
        Ok(Some(shard))
    };
    films.iter().map(take).collect()
}

/// Makes the recommendations of the film to the users of `shard` what they should be. To be run in a transaction of its own.
///
/// # Errors
///
/// [`Error::RollbackTransaction`] if the film has changed meanwhile, or too much else, or another replica has finished the shard:
/// what was written must not stay, and the matcher is to be asked again.
pub fn settle_shard(
    conn: &mut DbConnection,
    shard: &Shard,
    matched: &MatchedFilm,
    terms: &Terms,
) -> QueryResult<Outcome> {
    if !shards::is_as_it_was(conn, shard)? {
        return Ok(Outcome::Unchanged);
    }
    let Some(film) = films::find(conn, &shard.film)? else {
        shards::finish(conn, &shard.id)?;
        return Ok(Outcome::Unchanged);
    };
    if !matched.is_of(&film) {
        return Ok(Outcome::Lagging);
    }
    let range = shard.first..=shard.last;
    let stored = recommendations::users_of_film(conn, &film.id, range, i64::MAX)?;
    let wanted = within(&matched.seen.found, shard.first, shard.last);
    let plan = Plan::compare(&stored, wanted, usize::MAX);
    // Others may be about to write or delete the same rows: the database says which of them are new.
    let mut count = change(conn, &film, &plan.missing, &plan.superfluous, terms)?;

    let place = sequence::take_place(conn, 1)?;
    let film = films::find(conn, &shard.film)?.filter(|film| matched.is_of(film));
    let (Some(mut film), true) = (film, shards::finish(conn, &shard.id)?) else {
        return Err(Error::RollbackTransaction);
    };
    let mut users: Vec<UserId> = plan.touched().collect();
    if !film.deleted {
        let corrections = Corrections::read(conn, matched.seen.watermark, place, terms)?;
        let Some(met) = corrections.since(&matched.words, matched.seen.watermark) else {
            return Err(Error::RollbackTransaction);
        };
        let changed = met.range(shard.first..=shard.last);
        let (met, unmet): (Vec<_>, Vec<_>) = changed.partition(|(_, is_met)| **is_met);
        let ids = |users: Vec<(&UserId, &bool)>| users.into_iter().map(|(user, _)| *user).collect();
        let (met, unmet): (Vec<UserId>, Vec<UserId>) = (ids(met), ids(unmet));
        count += change(conn, &film, &met, &unmet, terms)?;
        users.extend(met.iter().chain(&unmet));
    }
    film.recommended_count += count;
    films::add_recommended(conn, std::slice::from_ref(&film.id), count)?;
    let events = tell(conn, &mut film, place.first, terms)?;
    if let (true, Some(stated)) = (events, film.stated) {
        films::set_stated(conn, std::slice::from_ref(&film.id), stated)?;
    }
    Ok(Outcome::Changed(Effects {
        users,
        events,
        backlog: false,
    }))
}

/// Recommends `film` to `come` and not to `gone`; returns by how many it is recommended to more.
fn change(
    conn: &mut DbConnection,
    film: &Film,
    come: &[UserId],
    gone: &[UserId],
    terms: &Terms,
) -> QueryResult<i64> {
    let inserted = recommendations::insert_missing(conn, film, come, terms.now)?;
    let deleted = recommendations::delete_users(conn, &film.id, gone)?;
    Ok(inserted as i64 - deleted as i64)
}

/// The last user of the shard that begins with the user `from`, of a film that matches `users`, which are in order. `last_stored` is the
/// last of as many users as a shard may have that the film is recommended to already.
pub fn last_user(
    users: &[UserId],
    from: UserId,
    last_stored: Option<UserId>,
    terms: &Terms,
) -> UserId {
    let users = within(users, from, LAST_USER);
    let last = users.get(terms.limits.rows.max(1) - 1).copied();
    [last, last_stored]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(LAST_USER)
}
