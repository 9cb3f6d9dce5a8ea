use std::{borrow::Cow, cmp::Ordering, collections::BTreeSet};

use diesel::prelude::*;
use roaring::RoaringBitmap;
use storage::DbConnection;

use super::{Effects, Outcome, Seen, Terms};
use crate::{
    matching::{FilmWords, Keyword, matches},
    store::{
        backlog::{self, Work},
        changes,
        films::{self, Film, FilmFacts},
        outbox, preferences, recommendations, sequence,
    },
};

/// A catalog sent a film; `seen` are the users whom its `words` match.
pub fn save_film(
    conn: &mut DbConnection,
    id: &str,
    facts: &FilmFacts,
    version: Option<i64>,
    words: &FilmWords,
    seen: &Seen<RoaringBitmap>,
    terms: &Terms,
) -> QueryResult<Outcome> {
    let [seq, event_seq] = take_two(conn)?;
    let stored = films::find(conn, id)?;
    if stored.as_ref().is_some_and(|film| is_late(film, version)) {
        return Ok(Outcome::Unchanged);
    }
    let Some(users) = corrected(conn, words, seen, terms)? else {
        return Ok(Outcome::Lagging);
    };
    let known = stored.is_some();
    let mut film = stored.unwrap_or_else(|| Film::new(id));
    // Rows of older deployments may hold facts of different ages.
    let refresh = known
        && (film.stated.is_none()
            || !film.facts.looks_like(facts)
            || backlog::refreshes(conn, id)?);
    film.facts = facts.clone();
    film.version = version.or(film.version);
    film.deleted = false;
    changes::record_film(conn, seq, id, terms.now)?;
    let mut effects = if known {
        settle(conn, &mut film, &users, i32::MIN, refresh, event_seq, terms)?
    } else {
        settle_new(conn, &mut film, &users, event_seq, terms)?
    };
    if known {
        films::update(conn, &film, terms.now)?;
    } else {
        films::insert(conn, &film, terms.now)?;
    }
    effects.film_seq = Some(seq);
    Ok(Outcome::Changed(effects))
}

/// A catalog deleted a film. Returns also whether the film was known.
pub fn remove_film(
    conn: &mut DbConnection,
    id: &str,
    version: Option<i64>,
    terms: &Terms,
) -> QueryResult<(bool, Outcome)> {
    let [seq, event_seq] = take_two(conn)?;
    let stored = films::find(conn, id)?;
    let known = stored.as_ref().is_some_and(|film| !film.deleted);
    if stored.as_ref().is_some_and(|film| is_late(film, version)) || (!known && version.is_none()) {
        return Ok((known, Outcome::Unchanged));
    }
    let mut film = Film {
        version: version.or(stored.as_ref().and_then(|film| film.version)),
        deleted: true,
        ..stored.clone().unwrap_or_else(|| Film::new(id))
    };
    let nobody = RoaringBitmap::new();
    let effects = settle(conn, &mut film, &nobody, i32::MIN, false, event_seq, terms)?;
    if stored.is_some() {
        changes::record_film(conn, seq, id, terms.now)?;
        films::update(conn, &film, terms.now)?;
    } else {
        films::insert(conn, &film, terms.now)?;
    }
    Ok((known, Outcome::Changed(effects)))
}

/// Goes on with a film in the backlog under `work_id`. `facts` are those that led to `words` and
/// `seen`.
pub fn continue_film(
    conn: &mut DbConnection,
    work_id: i64,
    facts: &FilmFacts,
    words: &FilmWords,
    seen: &Seen<RoaringBitmap>,
    terms: &Terms,
) -> QueryResult<Outcome> {
    let event_seq = sequence::take(conn, 1)?;
    let Some(work) = backlog::find(conn, work_id)? else {
        return Ok(Outcome::Unchanged);
    };
    let Work::Film {
        film,
        from,
        refresh,
    } = &work
    else {
        return Ok(Outcome::Unchanged);
    };
    let Some(mut film) = films::find(conn, film)? else {
        backlog::clear(conn, &work)?;
        return Ok(Outcome::Unchanged);
    };
    if !film.deleted && film.facts != *facts {
        // It was edited in between, so that the answer is about another film.
        return Ok(Outcome::Lagging);
    }
    let users = if film.deleted {
        Cow::Owned(RoaringBitmap::new())
    } else {
        match corrected(conn, words, seen, terms)? {
            Some(users) => users,
            None => return Ok(Outcome::Lagging),
        }
    };
    let effects = settle(conn, &mut film, &users, *from, *refresh, event_seq, terms)?;
    films::update(conn, &film, terms.now)?;
    Ok(Outcome::Changed(effects))
}

/// The number of a change to a film, and that of the event that may come of it.
fn take_two(conn: &mut DbConnection) -> QueryResult<[i64; 2]> {
    let seq = sequence::take(conn, 2)?;
    Ok([seq, seq + 1])
}

/// Whether the stored film is as new as an update with `version`. What comes without a version is
/// from an older peer and counts as it comes.
fn is_late(film: &Film, version: Option<i64>) -> bool {
    matches!((film.version, version), (Some(stored), Some(sent)) if sent <= stored)
}

/// The users whose preferences match `words` now, or `None` if too much changed since `seen`.
fn corrected<'a>(
    conn: &mut DbConnection,
    words: &FilmWords,
    seen: &'a Seen<RoaringBitmap>,
    terms: &Terms,
) -> QueryResult<Option<Cow<'a, RoaringBitmap>>> {
    let lag = terms.limits.lag;
    let changed = match changes::any_user_after(conn, seen.watermark)? {
        true => changes::users_after(conn, seen.watermark, lag as i64 + 1)?,
        false => Vec::new(),
    };
    if changed.len() > lag || changes::lost_after(conn, seen.watermark)? {
        return Ok(None);
    }
    if changed.is_empty() {
        return Ok(Some(Cow::Borrowed(&seen.found)));
    }
    let changed: Vec<i32> = BTreeSet::from_iter(changed).into_iter().collect();
    let mut users = seen.found.clone();
    for (user, keywords) in preferences::of_users(conn, &changed)? {
        let mut parsed = keywords.iter().filter_map(|text| Keyword::parse(text).ok());
        if parsed.any(|keyword| matches(words, &keyword)) {
            users.insert(user as u32);
        } else {
            users.remove(user as u32);
        }
    }
    Ok(Some(Cow::Owned(users)))
}

/// Makes the rows of `film` those of `users`, from the user `from` on and as far as the limits go;
/// the rest goes to the backlog. Brings count and status up to date in `film`, which the caller
/// stores.
fn settle(
    conn: &mut DbConnection,
    film: &mut Film,
    users: &RoaringBitmap,
    from: i32,
    refresh: bool,
    event_seq: i64,
    terms: &Terms,
) -> QueryResult<Effects> {
    let mut effects = Effects::default();
    let mut budget = terms.limits.rows;
    let mut scanned = 0;
    let mut next = Some(from);
    while let Some(start) = next {
        if budget == 0 || scanned >= terms.limits.scan {
            break;
        }
        let plan = Plan::make(conn, film, users, start, refresh, budget, terms)?;
        plan.carry_out(conn, film, terms)?;
        budget -= plan.changes().min(budget);
        scanned += plan.scanned;
        next = plan.next;
        film.recommended_count += plan.missing.len() as i64 - plan.superfluous.len() as i64;
        effects.users.extend(plan.touched());
    }
    let work = Work::Film {
        film: film.id.clone(),
        from: next.unwrap_or(i32::MAX),
        refresh,
    };
    match next {
        Some(_) => backlog::put(conn, &work, terms.now)?,
        None => backlog::clear(conn, &work)?,
    }
    effects.backlog = next.is_some();
    effects.events = state(conn, film, event_seq, terms)?;
    Ok(effects)
}

/// As [`settle`] for a film that was not known: there are no rows of it and no work in the backlog.
fn settle_new(
    conn: &mut DbConnection,
    film: &mut Film,
    users: &RoaringBitmap,
    event_seq: i64,
    terms: &Terms,
) -> QueryResult<Effects> {
    if users.len() > terms.limits.rows as u64 {
        return settle(conn, film, users, i32::MIN, false, event_seq, terms);
    }
    let users: Vec<i32> = users.iter().map(|user| user as i32).collect();
    let pairs: Vec<_> = users.iter().map(|user| (*user, &*film)).collect();
    recommendations::insert(conn, &pairs, terms.now)?;
    film.recommended_count = users.len() as i64;
    Ok(Effects {
        users,
        events: state(conn, film, event_seq, terms)?,
        ..Effects::default()
    })
}

/// Tells the catalog whether anybody is recommended `film`, unless it was told already.
fn state(
    conn: &mut DbConnection,
    film: &mut Film,
    event_seq: i64,
    terms: &Terms,
) -> QueryResult<bool> {
    let status = film.recommended_count > 0;
    let nothing_to_say = film.deleted && film.stated.is_none();
    if film.stated == Some(status) || nothing_to_say {
        return Ok(false);
    }
    outbox::put(conn, event_seq, &film.id, status, terms.now)?;
    film.stated = Some(status);
    Ok(true)
}

/// What has to be done to the rows of a film for a range of users.
struct Plan {
    from: i32,
    through: i32,
    missing: Vec<i32>,
    superfluous: Vec<i32>,
    outdated: Vec<i32>,
    scanned: usize,
    next: Option<i32>,
}

impl Plan {
    /// Compares stored rows and `users` from `start` on, until `budget` changes are found.
    fn make(
        conn: &mut DbConnection,
        film: &Film,
        users: &RoaringBitmap,
        start: i32,
        refresh: bool,
        budget: usize,
        terms: &Terms,
    ) -> QueryResult<Self> {
        let page = terms.limits.rows.max(1);
        let stored = recommendations::users_of_film(conn, &film.id, start, page as i64)?;
        let scanned = stored.len();
        let end = match stored.last() {
            Some(last) if scanned == page => *last,
            _ => i32::MAX,
        };
        let mut plan = Self {
            from: start,
            through: end,
            missing: Vec::new(),
            superfluous: Vec::new(),
            outdated: Vec::new(),
            scanned,
            next: end.checked_add(1),
        };
        let mut stored = stored.into_iter().peekable();
        let mut wanted = within(users, start, end).peekable();
        loop {
            let order = match (stored.peek(), wanted.peek()) {
                (Some(stored), Some(wanted)) => stored.cmp(wanted),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(plan),
            };
            if plan.changes() >= budget && (order != Ordering::Equal || refresh) {
                let next = [stored.peek(), wanted.peek()].into_iter().flatten().min();
                plan.next = next.copied();
                plan.through = plan.next.map_or(end, |next| next.saturating_sub(1));
                return Ok(plan);
            }
            match order {
                Ordering::Less => plan.superfluous.extend(stored.next()),
                Ordering::Greater => plan.missing.extend(wanted.next()),
                Ordering::Equal => {
                    wanted.next();
                    let kept = stored.next();
                    plan.outdated.extend(kept.filter(|_| refresh));
                }
            }
        }
    }

    fn carry_out(&self, conn: &mut DbConnection, film: &Film, terms: &Terms) -> QueryResult<()> {
        recommendations::delete_users(conn, &film.id, &self.superfluous)?;
        if !self.outdated.is_empty() {
            recommendations::refresh(conn, film, self.from, self.through)?;
        }
        let pairs: Vec<_> = self.missing.iter().map(|user| (*user, film)).collect();
        recommendations::insert(conn, &pairs, terms.now)
    }

    fn changes(&self) -> usize {
        self.missing.len() + self.superfluous.len() + self.outdated.len()
    }

    fn touched(&self) -> impl Iterator<Item = i32> {
        let changed = self.missing.iter().chain(&self.superfluous);
        changed.chain(&self.outdated).copied()
    }
}

/// The members of `users` from `from` to `through`, in order. The bitmap holds the ids as `u32`, in
/// which negative ones come last; older deployments may have given some.
fn within(users: &RoaringBitmap, from: i32, through: i32) -> impl Iterator<Item = i32> {
    let part = move |low: i32, high: i32| {
        let (from, through) = (from.max(low), through.min(high));
        let range = (from <= through).then(|| users.range(from as u32..=through as u32));
        range.into_iter().flatten().map(|user| user as i32)
    };
    part(i32::MIN, -1).chain(part(0, i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_the_order_of_the_database_negative_ids_included() {
        let users: RoaringBitmap = [-5_i32, -1, 0, 3, i32::MAX, i32::MIN]
            .into_iter()
            .map(|user| user as u32)
            .collect();
        let all: Vec<i32> = within(&users, i32::MIN, i32::MAX).collect();
        assert_eq!(all, [i32::MIN, -5, -1, 0, 3, i32::MAX]);
        assert_eq!(within(&users, -1, 3).collect::<Vec<_>>(), [-1, 0, 3]);
        assert_eq!(within(&users, 1, 2).count(), 0);
        assert_eq!(within(&users, 4, i32::MAX).collect::<Vec<_>>(), [i32::MAX]);
    }
}
