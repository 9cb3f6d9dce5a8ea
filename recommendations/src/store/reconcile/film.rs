//! Makes the stored recommendations of one film what they should be, in steps of a bounded size.

use std::cmp::Ordering;

use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::{Effects, NUMBERS_OF_FILM, Outcome, Terms};
use crate::store::{
    backlog, changes,
    films::{self, Film},
    outbox, recommendations, sequence,
    versions::is_late,
};

/// The ends of the order of users.
const FIRST_USER: UserId = UserId(i32::MIN);
pub(super) const LAST_USER: UserId = UserId(i32::MAX);

/// A catalog deleted a film. Returns also whether the film was known.
pub fn remove_film(
    conn: &mut DbConnection,
    id: &FilmId,
    version: Option<i64>,
    terms: &Terms,
) -> QueryResult<(bool, Outcome)> {
    let seq = sequence::take(conn, NUMBERS_OF_FILM)?;
    let stored = films::find(conn, id)?;
    let known = stored.as_ref().is_some_and(|film| !film.deleted);
    let newest = stored.as_ref().and_then(|film| film.version);
    if is_late(newest, version, terms.now) || (!known && version.is_none()) {
        return Ok((known, Outcome::Unchanged));
    }
    let mut film = Film {
        version: version.or(newest),
        deleted: true,
        ..stored.clone().unwrap_or_else(|| Film::new(id.clone()))
    };
    let mut effects = settle(conn, &mut film, &[], false, terms)?;
    effects.events = tell(conn, &mut film, seq + 1, terms)?;
    if stored.is_some() {
        changes::record_film(conn, seq, id, terms.now)?;
    }
    films::put(conn, &[(&film, stored.is_some())], terms.now)?;
    Ok((known, Outcome::Changed(effects)))
}

/// Makes the rows of `film` those of `users`, which are in order, as far as the limits go; the rest goes to the backlog. Brings the count up to date in `film`, which the caller stores.
///
/// If the film `is_edited`, users who keep it are told, too, but not those that are left to the backlog: they see the edit when
/// they look next.
pub(super) fn settle(
    conn: &mut DbConnection,
    film: &mut Film,
    users: &[UserId],
    is_edited: bool,
    terms: &Terms,
) -> QueryResult<Effects> {
    let mut effects = Effects::default();
    let mut budget = terms.limits.rows;
    let mut scanned = 0;
    let mut next = Some(FIRST_USER);
    while let Some(start) = next {
        if budget == 0 || scanned >= terms.limits.scan {
            break;
        }
        let plan = Plan::make(conn, film, users, start, budget, terms)?;
        plan.carry_out(conn, film, terms)?;
        if is_edited {
            effects.users.extend(&plan.kept);
        }
        budget -= plan.changes().min(budget);
        scanned += plan.scanned;
        next = plan.next;
        film.recommended_count += plan.missing.len() as i64 - plan.superfluous.len() as i64;
        effects.users.extend(plan.touched());
    }
    match next {
        Some(from) => backlog::put_film(conn, &film.id, from, terms.now)?,
        None => backlog::clear_films(conn, std::slice::from_ref(&film.id))?,
    }
    effects.backlog = next.is_some();
    Ok(effects)
}

/// Tells the catalog by event `seq` whether `film` is recommended to any user, unless it was told already.
pub(super) fn tell(
    conn: &mut DbConnection,
    film: &mut Film,
    seq: i64,
    terms: &Terms,
) -> QueryResult<bool> {
    let Some(status) = film.status_to_tell() else {
        return Ok(false);
    };
    outbox::put(conn, &[(seq, film.id.clone(), status)], terms.now)?;
    film.stated = Some(status);
    Ok(true)
}

/// What has to be done to the rows of a film for a range of users.
pub(super) struct Plan {
    pub(super) missing: Vec<UserId>,
    pub(super) superfluous: Vec<UserId>,
    kept: Vec<UserId>,
    scanned: usize,
    next: Option<UserId>,
}

impl Plan {
    /// Compares stored rows and `users` from `start` on, until `budget` changes are found.
    fn make(
        conn: &mut DbConnection,
        film: &Film,
        users: &[UserId],
        start: UserId,
        budget: usize,
        terms: &Terms,
    ) -> QueryResult<Self> {
        let page = terms.limits.rows.max(1);
        let stored =
            recommendations::users_of_film(conn, &film.id, start..=LAST_USER, page as i64)?;
        let end = match stored.last() {
            Some(last) if stored.len() == page => *last,
            _ => LAST_USER,
        };
        let next = end.0.checked_add(1).map(UserId);
        let plan = Self::compare(&stored, within(users, start, end), budget);
        Ok(Self {
            next: plan.next.or(next),
            ..plan
        })
    }

    /// Compares the users that have the film with those that `wanted` says, until `budget` changes are found; `next` is where it
    /// ended before all were compared.
    pub(super) fn compare(stored: &[UserId], wanted: &[UserId], budget: usize) -> Self {
        let mut plan = Self {
            missing: Vec::new(),
            superfluous: Vec::new(),
            kept: Vec::new(),
            scanned: stored.len(),
            next: None,
        };
        let mut stored = stored.iter().copied().peekable();
        let mut wanted = wanted.iter().copied().peekable();
        loop {
            let order = match (stored.peek(), wanted.peek()) {
                (Some(stored), Some(wanted)) => stored.cmp(wanted),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return plan,
            };
            if plan.changes() >= budget && order != Ordering::Equal {
                let next = [stored.peek(), wanted.peek()].into_iter().flatten().min();
                plan.next = next.copied();
                return plan;
            }
            match order {
                Ordering::Less => plan.superfluous.extend(stored.next()),
                Ordering::Greater => plan.missing.extend(wanted.next()),
                Ordering::Equal => {
                    wanted.next();
                    plan.kept.extend(stored.next());
                }
            }
        }
    }

    fn carry_out(&self, conn: &mut DbConnection, film: &Film, terms: &Terms) -> QueryResult<()> {
        recommendations::delete_users(conn, &film.id, &self.superfluous)?;
        let pairs: Vec<_> = self.missing.iter().map(|user| (*user, film)).collect();
        recommendations::insert(conn, &pairs, terms.now)
    }

    fn changes(&self) -> usize {
        self.missing.len() + self.superfluous.len()
    }

    pub(super) fn touched(&self) -> impl Iterator<Item = UserId> {
        self.missing.iter().chain(&self.superfluous).copied()
    }
}

/// Those of `users`, which are in order, from `from` to `through`.
pub(super) fn within(users: &[UserId], from: UserId, through: UserId) -> &[UserId] {
    let begin = users.partition_point(|user| *user < from);
    let end = users.partition_point(|user| *user <= through);
    users.get(begin..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_in_the_order_of_the_database_negative_ids_included() {
        let users = [i32::MIN, -5, -1, 0, 3, i32::MAX].map(UserId);
        let within = |from, through| within(&users, UserId(from), UserId(through));
        assert_eq!(within(i32::MIN, i32::MAX), users);
        assert_eq!(within(-1, 3), [-1, 0, 3].map(UserId));
        assert!(within(1, 2).is_empty() && within(3, 1).is_empty());
        assert_eq!(within(4, i32::MAX), [UserId(i32::MAX)]);
    }
}
