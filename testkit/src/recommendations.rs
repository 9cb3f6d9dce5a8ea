//! A recommendations service that keeps what it is told in memory and finds keywords as parts of
//! texts. Every user has keywords of their own. A test may have it refuse films, or answer late.

mod calls;
mod state;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::recommendations::{
    FilmUpdate, Preference, RemoveFilmRequest, recommendations_server::RecommendationsServer,
};
use tokio::sync::watch;
use tonic::{Code, transport::Server};

use self::state::{Calls, Statuses};
use crate::{UNPOISONED, server::FakeServer};

/// Why there is a version.
const VERSIONED: &str = "a catalog that is tested gives versions";

/// What a catalog told the service of a film.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The film was added or edited.
    Saved(FilmUpdate),
    /// The film was deleted.
    Removed(RemoveFilmRequest),
}

impl Told {
    /// The id of the film.
    pub fn film_id(&self) -> &str {
        match self {
            Self::Saved(update) => &update.film_id,
            Self::Removed(removal) => &removal.film_id,
        }
    }

    /// The version of the film, or of its deletion.
    ///
    /// # Panics
    ///
    /// If the catalog gave none, as old ones do.
    pub fn version(&self) -> i64 {
        match self {
            Self::Saved(update) => update.version.expect(VERSIONED),
            Self::Removed(removal) => removal.version.expect(VERSIONED),
        }
    }
}

/// The service, and what it was told. Clones know the same.
#[derive(Clone)]
pub struct FakeRecommendations {
    calls: Calls,
    server: FakeServer,
}

impl FakeRecommendations {
    /// Starts the service.
    pub fn start() -> Self {
        let service = Self::absent();
        service.come_back();
        service
    }

    /// A service at an address where nothing answers, until [`Self::come_back`].
    pub fn absent() -> Self {
        Self {
            calls: Calls {
                state: Arc::default(),
                verdict: Arc::default(),
                changes: watch::Sender::new(()),
            },
            server: FakeServer::new(),
        }
    }

    /// Where the service is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ends the service, with all its connections; what it was told stays.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Starts the service where it is expected.
    pub fn come_back(&self) {
        let service = RecommendationsServer::new(self.calls.clone());
        self.server.serve(Server::builder().add_service(service));
    }

    /// From now on says that films of keywords are still being worked on.
    pub fn be_unsettled(&self) {
        self.calls.state().is_unsettled = true;
    }

    /// From now on takes every call and answers none.
    pub fn fall_silent(&self) {
        self.calls.state().is_silent = true;
    }

    /// From now on takes every call of this name, such as `MarkFilms`, and answers none.
    pub fn fall_silent_on(&self, call: &'static str) {
        self.calls.state().silent_on = Some(call);
    }

    /// From now on `decide` says what becomes of the films that catalogs send.
    pub fn decide_by(&self, decide: impl FnMut(&Told) -> Result<Duration, Code> + Send + 'static) {
        *self.calls.verdict.lock().expect(UNPOISONED) = Some(Box::new(decide));
    }

    /// From now on answers which films are recommended, and for which an event is pending.
    pub fn say(&self, recommended: &[&str], pending: &[&str], version: i64) {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        self.calls.state().statuses = Some(Statuses {
            recommended: owned(recommended),
            pending: owned(pending),
            version,
        });
    }

    /// What catalogs told by calls, in order.
    pub fn told(&self) -> Vec<Told> {
        self.calls.state().told.clone()
    }

    /// What catalogs told of a film, in order.
    pub fn told_of(&self, film_id: &str) -> Vec<Told> {
        let mut told = self.told();
        told.retain(|told| told.film_id() == film_id);
        told
    }

    /// The most calls of catalogs that were answered at a time.
    pub fn busiest(&self) -> usize {
        self.calls.state().busiest
    }

    /// The keywords that a user follows.
    pub fn keywords(&self, user: i32) -> Vec<String> {
        let state = self.calls.state();
        let own = state.of(user);
        own.map(|preference| preference.keyword.clone()).collect()
    }

    /// Follows a keyword without the pages, as another client would.
    pub fn follow(&self, user: i32, keyword: &str) {
        self.calls.state().keywords.push(Preference {
            user_id: user,
            keyword: keyword.into(),
            matching_films: None,
            is_new: None,
        });
        self.calls.changes.send_replace(());
    }

    /// Learns of a film; answers whether it is recommended to any user.
    pub fn know(&self, film: FilmUpdate) -> bool {
        self.calls.know(film)
    }

    /// Forgets a film.
    pub fn forget(&self, film_id: &str) {
        self.calls.forget(film_id);
    }

    /// How many calls of this name were made.
    pub fn calls(&self, name: &str) -> usize {
        self.calls
            .state()
            .calls
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// How many watches of a user are open.
    pub fn watches(&self, user: i32) -> usize {
        self.calls
            .state()
            .watches
            .get(&user)
            .copied()
            .unwrap_or_default()
    }
}
