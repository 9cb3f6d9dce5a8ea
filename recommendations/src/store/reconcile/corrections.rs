//! Corrects the matcher's answer about films for the preferences that changed after it.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
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
        if !(self.reaches_back_to..self.reaches_to).contains(&seen.watermark) {
            return None;
        }
        let mut users = Cow::Borrowed(&*seen.found);
        for (seq, user) in &self.changes {
            if *seq <= seen.watermark {
                continue;
            }
            let keywords = self.keywords.get(user).map_or(&[][..], Vec::as_slice);
            let is_met = keywords.iter().any(|keyword| matches(words, keyword));
            match users.binary_search(user) {
                Ok(place) if !is_met => drop(users.to_mut().remove(place)),
                Err(place) if is_met => users.to_mut().insert(place, *user),
                _ => {}
            }
        }
        Some(users)
    }
}
