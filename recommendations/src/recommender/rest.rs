//! What was too much for one transaction: the rest of films, in shards, and of preferences, in steps.

use std::sync::Arc;

use diesel::result::Error as DieselError;
use proto::{FilmId, UserId};

use super::{LAG_TRIES, Recommender, changes::analyse};
use crate::{
    error::Error,
    matching::Keyword,
    store::{
        backlog::{WaitingFilm, WaitingPreference},
        films, recommendations,
        reconcile::{self, MatchedFilm, NO_KEYWORD, Outcome, Seen},
        shards::{self, Shard},
    },
};

impl Recommender {
    /// Goes on with a preference in the backlog, as far as one transaction goes.
    pub async fn go_on(&self, waiting: &WaitingPreference) -> Result<(), Error> {
        for _ in 0..LAG_TRIES {
            let seen = match Keyword::parse(&waiting.keyword) {
                Ok(keyword) => self.films_matching(&keyword).await?,
                Err(_) => Seen {
                    found: Arc::default(),
                    watermark: NO_KEYWORD,
                },
            };
            let (id, terms) = (waiting.id, self.terms());
            let go_on = move |conn: &mut _| reconcile::continue_preference(conn, id, &seen, &terms);
            if self.settled(self.database.write(go_on).await?)?.is_some() {
                return Ok(());
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    /// Finds the next users of a film that waits, as many as one shard has. Returns the last of them, and what matches.
    pub async fn match_waiting(
        &self,
        waiting: &WaitingFilm,
    ) -> Result<(UserId, MatchedFilm), Error> {
        let (film, from, terms) = (waiting.film.clone(), waiting.from, self.terms());
        let rows = terms.limits.rows.max(1);
        let last =
            move |conn: &mut _| recommendations::nth_user_of_film(conn, &film, from, rows - 1);
        let last_stored = self.database.read(last).await?;
        let mut matched = self.match_film(&waiting.film).await?;
        let last = reconcile::last_user(&matched.seen.found, from, last_stored, &terms);
        // Of a film for very many only these users are kept until their turn comes.
        let is_ours = |user: &_| (from..=last).contains(user);
        matched.seen.found.retain(is_ours);
        matched.seen.found.shrink_to_fit();
        Ok((last, matched))
    }

    /// Takes the users of each of the films up to the one that goes with it, for the replica `owner`. Returns the shards, none where
    /// another replica was faster.
    pub async fn take_shards(
        &self,
        films: Vec<(WaitingFilm, UserId)>,
        owner: &str,
    ) -> Result<Vec<Option<Shard>>, Error> {
        let (owner, terms) = (owner.to_owned(), self.terms());
        let take = move |conn: &mut _| reconcile::take_shards(conn, &films, &owner, &terms);
        Ok(self.database.write(take).await?)
    }

    /// Takes `shard` from the replica that has it, which seems to be gone, for the replica `owner`. Returns it as it is then, unless
    /// that replica had it no more.
    pub async fn take_over(&self, shard: &Shard, owner: &str) -> Result<Option<Shard>, Error> {
        let taken = Shard {
            owner: owner.into(),
            ..shard.clone()
        };
        let (shard, owner) = (shard.clone(), owner.to_owned());
        let take = move |conn: &mut _| shards::take_over(conn, &shard, &owner);
        Ok(self.database.write(take).await?.then_some(taken))
    }

    /// Recommends the film of `shard` to its users, and finishes the shard. `matched` is what matches, as far as that is known.
    pub async fn settle_shard(
        &self,
        shard: &Shard,
        mut matched: Option<MatchedFilm>,
    ) -> Result<(), Error> {
        for _ in 0..LAG_TRIES {
            let matched = match matched.take() {
                Some(matched) => matched,
                None => self.match_film(&shard.film).await?,
            };
            let (shard, terms) = (shard.clone(), self.terms());
            let settle =
                move |conn: &mut _| reconcile::settle_shard(conn, &shard, &matched, &terms);
            let outcome = match self.database.write_apart(settle).await {
                Err(storage::Error::Query(DieselError::RollbackTransaction)) => Outcome::Lagging,
                outcome => outcome?,
            };
            if self.settled(outcome)?.is_some() {
                return Ok(());
            }
            self.wait_for_matcher().await;
        }
        Err(Error::Lagging)
    }

    async fn match_film(&self, id: &FilmId) -> Result<MatchedFilm, Error> {
        let id = id.clone();
        let find = move |conn: &mut _| films::find(conn, &id);
        let film = self.database.read(find).await?;
        let facts = film.filter(|film| !film.deleted).map(|film| film.facts);
        let is_deleted = facts.is_none();
        let (facts, words) = analyse(facts.unwrap_or_default()).await?;
        let mut seen = self.users_matching(&words).await?;
        if is_deleted {
            seen.found.clear();
        }
        Ok(MatchedFilm {
            facts: (!is_deleted).then_some(facts),
            words,
            seen,
        })
    }
}
