//! The pages' way to the film catalog: each message is one call.
//!
//! The gateway also watches for changes of films, on a connection of its own: the watch tells whether
//! the catalog can be reached at all, and when what was read before is out of date. Its stream is the actor's; each
//! [`Wake`] begins it again after it has ended.

mod calls;
mod history;
mod messages;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use futures::StreamExt;
use proto::recommendations::{MoviesChanged, WatchMoviesRequest, catalog_client::CatalogClient};
use runtime::{Backoff, ChildGuard, Process, ServiceAddress, Wake, grpc::ServiceChannel};
use tonic::{Response, Status};

pub(crate) use calls::MANY_FILMS_DEADLINE;
pub use history::{ListFilmChanges, UndoFilmChange};
pub use messages::{
    CreateFilm, DeleteFilm, ExternalIds, Film, FilmFields, FilmPage, FindFilm, GetFilm, GetSummary,
    ImportFilms, ImportOutcome, ImportedFilm, ListFilms, LoadSample, RestoreFilm, Summary,
    UpdateFilm,
};

use super::{ServiceClient, Serving};
use crate::{
    error::{Error, Service},
    freshness::Freshness,
};

/// How long the catalog may take for one call.
const DEADLINE: Duration = Duration::from_secs(8);

/// The client that all incarnations of the gateway share.
#[derive(Debug, Clone)]
pub struct CatalogConnection {
    calls: ServiceClient,
    watch: ServiceClient,
    was_reached: Arc<AtomicBool>,
}

impl CatalogConnection {
    /// Makes a client that connects when it is first needed.
    pub fn new(address: &ServiceAddress, process: &Process) -> Self {
        let calls = ServiceClient::new(Service::Catalog, address, process);
        Self {
            watch: calls.separate(),
            calls,
            was_reached: Arc::default(),
        }
    }
}

/// The actor that calls the catalog. Each call has a deadline; one that cannot be made is
/// [`Error::ServiceUnavailable`].
#[derive(Debug)]
pub struct CatalogGateway {
    connection: CatalogConnection,
    freshness: Arc<Freshness>,
    /// Between two attempts to watch.
    backoff: Backoff,
    /// Why the watch was lost, until it tells something again.
    lost: Option<String>,
    /// Whether any catalog says that it serves.
    is_served: bool,
    guard: ChildGuard,
}

impl CatalogGateway {
    /// Makes the actor.
    pub(crate) fn new(
        connection: CatalogConnection,
        freshness: Arc<Freshness>,
        guard: ChildGuard,
    ) -> Self {
        Self {
            connection,
            freshness,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
            lost: None,
            is_served: true,
            guard,
        }
    }

    /// The client for one call; an error before the catalog was reached for the first time, because a
    /// catalog that is starting takes connections before it answers.
    fn client(&self) -> Result<(ServiceClient, CatalogClient<ServiceChannel>), Error> {
        if !self.connection.was_reached.load(Ordering::Acquire) {
            return Err(Error::ServiceUnavailable(Service::Catalog));
        }
        let calls = self.connection.calls.clone();
        let client = CatalogClient::new(calls.channel());
        Ok((calls, client))
    }
}

runtime::requested!(CatalogGateway);

impl Actor for CatalogGateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if !self.connection.was_reached.load(Ordering::Acquire) {
            self.guard.starting("connecting to the catalog");
        }
        context.notify(Wake);
        let serving = self.connection.watch.channel().serving();
        context.add_stream(serving.map(Serving));
    }
}

/// Begins to watch for changes of films.
impl Handler<Wake> for CatalogGateway {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let mut client = CatalogClient::new(self.connection.watch.channel());
        let begun = async move {
            let begun = client.watch_movies(WatchMoviesRequest {});
            match tokio::time::timeout(DEADLINE, begun).await {
                Ok(begun) => begun.map(Response::into_inner),
                Err(_) => Err(Status::unavailable("no answer")),
            }
        };
        let begun = begun.into_actor(self);
        context.spawn(begun.map(|begun, gateway, context| match begun {
            Ok(changes) => {
                context.add_stream(changes);
            }
            Err(status) => {
                gateway.lost(&status);
                gateway.watch_later(context);
            }
        }));
    }
}

impl StreamHandler<Result<MoviesChanged, Status>> for CatalogGateway {
    fn handle(&mut self, change: Result<MoviesChanged, Status>, _: &mut Context<Self>) {
        match change {
            Ok(MoviesChanged { .. }) => {
                self.backoff.reset();
                self.freshness.films_changed();
                self.connection.was_reached.store(true, Ordering::Release);
                self.connection.watch.reached();
                self.lost = None;
                self.report();
                self.guard.reporter().handled(1);
            }
            Err(status) => self.lost(&status),
        }
    }

    fn finished(&mut self, context: &mut Context<Self>) {
        self.watch_later(context);
    }
}

/// A catalog that has no database keeps its watches, and does not serve.
impl StreamHandler<Serving> for CatalogGateway {
    fn handle(&mut self, Serving(is_served): Serving, _: &mut Context<Self>) {
        self.is_served = is_served;
        self.report();
    }

    /// The other stream goes on.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl CatalogGateway {
    /// The watch failed: the catalog cannot be reached.
    fn lost(&mut self, status: &Status) {
        self.connection.watch.note(status);
        self.lost = Some(format!("the catalog is unavailable: {}", status.message()));
        self.report();
    }

    /// Says how the gateway is. One that cannot serve is not ready; while a catalog stops it still answers, and the pages with it.
    fn report(&self) {
        let was_reached = self.connection.was_reached.load(Ordering::Acquire);
        match &self.lost {
            Some(reason) if was_reached => self.guard.blocked(reason),
            Some(reason) => self.guard.starting(reason),
            None if !was_reached => {}
            None if !self.is_served => self.guard.hindered("no catalog says that it serves"),
            None => self.guard.ready(),
        }
    }

    fn watch_later(&mut self, context: &mut Context<Self>) {
        context.notify_later(Wake, self.backoff.next_delay());
    }
}
