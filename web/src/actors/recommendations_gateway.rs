//! The pages' way to the recommendations service: each message is one call.
//!
//! All live pages of one user share one watch, which has a connection of its own, so that open pages
//! cannot hold up calls. A watch that breaks is begun again as long as a page is open. A task follows each stream and sends the
//! actor what comes; each step between them is the actor's.

mod calls;
mod messages;
mod user_watches;

use std::{collections::HashMap, future::ready, sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use futures::StreamExt;
use proto::{
    UserId,
    recommendations::{
        UsersChanged, WatchUsersRequest, recommendations_client::RecommendationsClient,
    },
};
use runtime::{Backoff, ChildGuard, Process, ServiceAddress, Wake, grpc::ServiceChannel};
use tonic::Status;

pub use messages::{
    Counts, FilmMarks, FindFilms, Follow, FollowedKeyword, Found, GetKeywords, GetMarks,
    GetRecommended, MarkSeen, Recommended, RecommendedFilm, StopFollowing, Totals, Watch,
};

use super::{ServiceClient, Serving};
use crate::{error::Service, freshness::Freshness};
use user_watches::UserWatch;

/// How long recommendations may take to answer a question of a page.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long it takes until a watch that ended is begun again: at first, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(15);

/// The client that all incarnations of the gateway share.
#[derive(Debug, Clone)]
pub struct RecommendationsConnection {
    calls: ServiceClient,
    watches: ServiceClient,
}

impl RecommendationsConnection {
    /// Makes a client that connects when it is first needed.
    pub fn new(address: &ServiceAddress, process: &Process) -> Self {
        let calls = ServiceClient::new(Service::Recommendations, address, process);
        Self {
            watches: calls.separate(),
            calls,
        }
    }
}

/// The actor that calls the recommendations service. Each call has a deadline; one that cannot be
/// made is [`Error::ServiceUnavailable`].
#[derive(Debug)]
pub struct RecommendationsGateway {
    connection: RecommendationsConnection,
    freshness: Arc<Freshness>,
    /// Between two attempts to watch all users.
    backoff: Backoff,
    /// Why the watch of all users could not be begun, until it is.
    lost: Option<String>,
    /// Whether any recommendations service says that it serves.
    is_served: bool,
    watches: HashMap<UserId, UserWatch>,
    guard: ChildGuard,
}

/// What came of the watch of all users.
type OfAll = Result<UsersChanged, Status>;

impl RecommendationsGateway {
    /// Makes the actor.
    pub(crate) fn new(
        connection: RecommendationsConnection,
        freshness: Arc<Freshness>,
        guard: ChildGuard,
    ) -> Self {
        Self {
            connection,
            freshness,
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY),
            lost: None,
            is_served: true,
            watches: HashMap::new(),
            guard,
        }
    }

    fn client(&self) -> (ServiceClient, RecommendationsClient<ServiceChannel>) {
        let calls = self.connection.calls.clone();
        let client = RecommendationsClient::new(calls.channel());
        (calls, client)
    }

    fn set_lost(&mut self, lost: Option<String>) {
        self.lost = lost;
        self.report();
    }

    /// Says how the gateway is: the pages do without recommendations.
    fn report(&self) {
        match &self.lost {
            Some(reason) => self
                .guard
                .hindered(format_args!("pages lack their recommendations: {reason}")),
            None if !self.is_served => self
                .guard
                .hindered("no recommendations service says that it serves"),
            None => self.guard.ready(),
        }
    }

    fn watch_all_later(&mut self, context: &mut Context<Self>) {
        context.notify_later(Wake, self.backoff.next_delay());
    }
}

runtime::requested!(RecommendationsGateway);

impl Actor for RecommendationsGateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
        let serving = self.connection.watches.channel().serving();
        context.add_stream(serving.skip_while(|serves| ready(!serves)).map(Serving));
        self.guard.ready();
    }
}

/// Begins to watch whose recommendations change. Services that do not tell are asked more often by the pages.
impl Handler<Wake> for RecommendationsGateway {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let watches = self.connection.watches.clone();
        let begun = async move {
            let mut client = RecommendationsClient::new(watches.channel());
            let call = client.watch_users(WatchUsersRequest {});
            let call = watches.call_or_unimplemented("WatchUsers", DEADLINE, call);
            call.await
        };
        let begun = begun.into_actor(self);
        context.spawn(begun.map(|begun, gateway, context| match begun {
            Ok(Some(changes)) => {
                gateway.set_lost(None);
                // Whatever changed before this watch began was not told.
                gateway.freshness.all_users_changed();
                context.add_stream(changes);
            }
            Ok(None) => {
                gateway.set_lost(None);
                gateway.watch_all_later(context);
            }
            Err(error) => {
                gateway.set_lost(Some(error.to_string()));
                gateway.watch_all_later(context);
            }
        }));
    }
}

/// A service that has no database keeps its watches, and does not serve.
impl StreamHandler<Serving> for RecommendationsGateway {
    fn handle(&mut self, Serving(is_served): Serving, _: &mut Context<Self>) {
        self.is_served = is_served;
        self.report();
    }

    /// The other streams go on.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<OfAll> for RecommendationsGateway {
    fn handle(&mut self, change: OfAll, _: &mut Context<Self>) {
        let Ok(change) = change else {
            return;
        };
        self.backoff.reset();
        if change.all {
            self.freshness.all_users_changed();
        }
        for user in change.user_ids {
            self.freshness.user_changed(UserId(user));
        }
    }

    fn finished(&mut self, context: &mut Context<Self>) {
        self.watch_all_later(context);
    }
}
