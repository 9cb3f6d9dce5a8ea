//! Makes the stored recommendations what the preferences and the films say.
//!
//! Each function is the inside of one transaction, and may be run any number of times: what is right already is left
//! alone. It begins by taking a number from the [`sequence`](super::sequence), except that of a shard, which writes its rows first.
//! The matcher's answer that it is given may be a little old; [`Seen`] says how old, and what
//! changed since is looked up and corrected for. What is too much for one transaction goes to the
//! [`backlog`](super::backlog): films in shards, which any replica works on, and preferences in steps of the same code.

mod film_batch;

mod film;

mod preference;

mod shard;

mod corrections;

use chrono::NaiveDateTime;
use proto::UserId;

use film::LAST_USER;
pub use film::remove_film;
pub use film_batch::{FilmToSave, Saved, save_films};
pub use preference::{
    add_preference, changed_films, continue_preference, delete_preference, forget_recommendations,
};
pub use shard::{MatchedFilm, last_user, settle_shard, take_shards};

/// How many numbers of the order of changes a film takes: one for its change, the next for its event.
pub const NUMBERS_OF_FILM: i64 = 2;

/// An answer of the matcher, and the last change that it knew of.
#[derive(Debug, Clone)]
pub struct Seen<T> {
    /// What matches.
    pub found: T,
    /// The number of the last change that the answer takes into account.
    pub watermark: i64,
}

/// The watermark of an answer that no change makes old: what is no keyword matches nothing.
pub const NO_KEYWORD: i64 = i64::MAX;

/// How much one transaction does at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Changed recommendations of one film.
    pub rows: usize,
    /// Films looked at for one preference.
    pub films: usize,
    /// Stored recommendations of one film that are read.
    pub scan: usize,
    /// Changes that the matcher may lag behind.
    pub lag: usize,
    /// Keywords of one user.
    pub keywords: usize,
    /// Shards of films that a replica takes at once.
    pub shards: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 2_000,
            films: 200,
            scan: 20_000,
            lag: 1_000,
            keywords: 2_000,
            shards: 16,
        }
    }
}

/// With what a transaction works besides the database.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How much it does at most.
    pub limits: Limits,
    /// The time that it puts down.
    pub now: NaiveDateTime,
}

/// What a transaction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All was as it should be already.
    Unchanged,
    /// The matcher's answer is too old to be corrected: ask it again.
    Lagging,
    /// The user has as many keywords as one may have.
    Full,
    /// Something changed.
    Changed(Effects),
}

/// Who has to be told after the commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// The users whose recommendations changed.
    pub users: Vec<UserId>,
    /// There are new events in the outbox.
    pub events: bool,
    /// There is work in the backlog.
    pub backlog: bool,
}
