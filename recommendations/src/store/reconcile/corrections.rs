//! Corrects the matcher's answer about films for the preferences that changed after it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::{Seen, Terms};
use crate::{
    matching::{FilmWords, Keyword, matches},
    store::{changes, preferences, sequence::Place},
};

/// The preferences that changed after the oldest answer of a group, read once for all its films.
pub(super) struct Corrections {
    /// Answers older than this cannot be corrected.
    reaches_back_to: i64,
    /// Answers that are not older than this were made from a copy of the database that is gone.
    reaches_to: i64,
    /// The numbers of the changes and their users, in order.
    changes: Vec<(i64, UserId)>,
    /// The keywords of those users, as they are now.
    keywords: HashMap<UserId, Vec<Keyword>>,
}

impl Corrections {
    /// Reads what changed after number `oldest`, for a group at `place` in the order.
    pub(super) fn read(
        conn: &mut DbConnection,
        oldest: i64,
        place: Place,
        terms: &Terms,
    ) -> QueryResult<Self> {
        let mut corrections = Self {
            reaches_back_to: place.trimmed,
            reaches_to: place.first,
            changes: Vec::new(),
            keywords: HashMap::new(),
        };
        if oldest + 1 >= place.first {
            return Ok(corrections);
        }
        let lag = terms.limits.lag;
        corrections.changes = changes::user_changes_after(conn, oldest, lag as i64 + 1)?;
        if corrections.changes.len() > lag || changes::is_passed_over(conn, oldest)? {
            corrections.reaches_back_to = i64::MAX;
            return Ok(corrections);
        }
        let users: BTreeSet<UserId> = corrections.changes.iter().map(|(_, user)| *user).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        for (user, texts) in preferences::of_users(conn, &users)? {
            let keywords = texts.iter().filter_map(|text| Keyword::parse(text).ok());
            corrections.keywords.insert(user, keywords.collect());
        }
        Ok(corrections)
    }

    /// The users whose preferences match `words` now, in order, or `None` if too much changed since `seen`.
    pub(super) fn apply<'a>(
        &self,
        words: &FilmWords,
        seen: &'a Seen<Vec<UserId>>,
    ) -> Option<Cow<'a, [UserId]>> {
        let mut users = Cow::Borrowed(&*seen.found);
        for (user, is_met) in self.since(words, seen.watermark)? {
            match users.binary_search(&user) {
                Ok(place) if !is_met => drop(users.to_mut().remove(place)),
                Err(place) if is_met => users.to_mut().insert(place, user),
                _ => {}
            }
        }
        Some(users)
    }

    /// The users with a preference that changed after number `watermark`, each with whether `words` match one of the
    /// user's preferences now, or `None` if too much changed.
    pub(super) fn since(
        &self,
        words: &FilmWords,
        watermark: i64,
    ) -> Option<BTreeMap<UserId, bool>> {
        if !(self.reaches_back_to..self.reaches_to).contains(&watermark) {
            return None;
        }
        let changed = self.changes.iter().filter(|(seq, _)| *seq > watermark);
        let users: BTreeSet<UserId> = changed.map(|(_, user)| *user).collect();
        let met = users.into_iter().map(|user| {
            let keywords = self.keywords.get(&user).map_or(&[][..], Vec::as_slice);
            (user, keywords.iter().any(|keyword| matches(words, keyword)))
        });
        Some(met.collect())
    }
}
