//! A catalog that keeps its films in memory. It checks fields as far as tests look at that, and hands
//! each film on to a fake recommendations service at once, where the real one has a courier.

mod calls;
mod films;
mod history;
mod imports;

use std::{net::SocketAddr, sync::Arc};

use proto::recommendations::{CreateMovieRequest, Movie, catalog_server::CatalogServer};
use tokio::sync::watch;
use tonic::{Code, transport::Server};

use self::films::Calls;
use crate::{FakeRecommendations, server::FakeServer};

/// The service, and the films that it holds. Clones hold the same films.
#[derive(Clone)]
pub struct FakeCatalog {
    calls: Calls,
    server: FakeServer,
}

impl FakeCatalog {
    /// Starts a catalog without films; `recommendations` learns of each film.
    pub fn start(recommendations: Option<FakeRecommendations>) -> Self {
        let catalog = Self::absent(recommendations);
        catalog.come_back();
        catalog
    }

    /// A catalog at an address where nothing answers, until [`Self::come_back`].
    pub fn absent(recommendations: Option<FakeRecommendations>) -> Self {
        Self {
            calls: Calls {
                held: Arc::default(),
                changes: watch::Sender::new(()),
                recommendations,
            },
            server: FakeServer::new(),
        }
    }

    /// Where the service is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ends the service, with all its connections; the films stay.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Starts the service again where it was.
    pub fn come_back(&self) {
        let service = CatalogServer::new(self.calls.clone());
        self.server.serve(Server::builder().add_service(service));
    }

    /// From now on each call fails with this code.
    pub fn fail_with(&self, code: Code, message: &str) {
        self.calls.held().failure = Some((code, message.to_owned()));
    }

    /// From now on takes every call and answers none.
    pub fn fall_silent(&self) {
        self.calls.held().is_silent = true;
    }

    /// The films, the oldest first.
    pub fn films(&self) -> Vec<Movie> {
        self.calls.movies()
    }

    /// How many lists were asked for.
    pub fn lists(&self) -> usize {
        self.calls.held().lists
    }

    /// How many calls wrote, or tried to.
    pub fn writes(&self) -> usize {
        self.calls.held().writes
    }

    /// Who wrote, as each of those calls said in its metadata.
    pub fn users(&self) -> Vec<Option<String>> {
        self.calls.held().users.clone()
    }

    /// Adds a film without the pages, as another client would; answers its id.
    pub fn add(&self, title: &str, genre: &str) -> String {
        self.calls.add(title, genre)
    }

    /// Deletes a film without the pages.
    pub fn remove(&self, id: &str) {
        self.calls.remove(id);
    }

    /// Edits a film without the pages.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Movie)) {
        self.calls.edit(id, edit);
    }

    /// Writes without telling, as a catalog on another machine does.
    pub fn add_in_secret(&self, title: &str) {
        let request = CreateMovieRequest {
            title: title.into(),
            ..CreateMovieRequest::default()
        };
        self.calls.insert(request);
    }
}
