//! The watches of users whose pages are open: one for all pages of a user, for as long as one listens. A watch that breaks
//! is begun again. Each change is counted before the pages are told.

use actix::{
    ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture,
};
use futures::{FutureExt, StreamExt, future::RemoteHandle};
use proto::{
    UserId,
    recommendations::{
        RecommendationsChanged, WatchRecommendationsRequest,
        recommendations_client::RecommendationsClient,
    },
};
use runtime::Backoff;
use tokio::sync::watch;

use super::{
    Counts, DEADLINE, FIRST_DELAY, GetMarks, MAX_DELAY, RecommendationsGateway, Totals, Watch,
    calls::{as_reader, marks},
};
use crate::{actors::ServiceClient, error::Error};

/// The watch of one user's recommendations, for as long as a page listens.
#[derive(Debug)]
pub(super) struct UserWatch {
    pub(super) told: watch::Sender<Option<Counts>>,
    backoff: Backoff,
    /// The task that follows the stream, unless it is to be begun again after a while. Dropped, it ends.
    following: Option<RemoteHandle<()>>,
    /// The task that tells when no page listens any more.
    leaving: RemoteHandle<()>,
    /// What is recommended to the user is being counted.
    count: Option<SpawnHandle>,
    /// A change while it was counted, after which it is counted again: how many the change said there are.
    count_again: Option<i32>,
}

/// What came of the watch of a user; `None` at its end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct OfUser(UserId, Option<RecommendationsChanged>);

/// No page listens to a user's recommendations any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Left(UserId);

impl Handler<OfUser> for RecommendationsGateway {
    type Result = ();

    fn handle(&mut self, OfUser(user, change): OfUser, context: &mut Context<Self>) {
        match change {
            Some(change) => self.user_changed(user, change.total, context),
            None => self.watch_later(user, context),
        }
    }
}

/// Ends the user's watch.
impl Handler<Left> for RecommendationsGateway {
    type Result = ();

    fn handle(&mut self, Left(user): Left, context: &mut Context<Self>) {
        let Some(watched) = self.watches.get_mut(&user) else {
            return;
        };
        if watched.told.receiver_count() > 0 {
            // A page has come after the last one left.
            watched.leaving = tell_when_left(user, watched.told.clone(), context.address());
        } else if let Some(count) = self.watches.remove(&user).and_then(|watched| watched.count) {
            context.cancel_future(count);
        }
    }
}

impl Handler<Watch> for RecommendationsGateway {
    type Result = Result<Totals, Error>;

    fn handle(&mut self, Watch { user }: Watch, context: &mut Context<Self>) -> Self::Result {
        if let Some(watched) = self.watches.get(&user) {
            return Ok(watched.told.subscribe());
        }
        let (told, totals) = watch::channel(None);
        let watched = UserWatch {
            leaving: tell_when_left(user, told.clone(), context.address()),
            told,
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY),
            following: Some(self.begin_watch(user, context)),
            count: None,
            count_again: None,
        };
        self.watches.insert(user, watched);
        Ok(totals)
    }
}

impl RecommendationsGateway {
    /// Begins to follow a user's recommendations, in a task of its own: the context polls all it has whenever one part of it
    /// wakes.
    fn begin_watch(&self, user: UserId, context: &mut Context<Self>) -> RemoteHandle<()> {
        let watches = self.connection.watches.clone();
        let gateway = context.address();
        let follow = async move {
            let mut client = RecommendationsClient::new(watches.channel());
            let request = WatchRecommendationsRequest { user_id: user.0 };
            let request = ServiceClient::unbounded_request(request, Some(as_reader(user)));
            let call = client.watch_recommendations(request);
            if let Ok(changes) = watches.call("WatchRecommendations", DEADLINE, call).await {
                let changes = changes.filter_map(async |change| change.ok());
                let tell = async |change| {
                    // A gateway that is gone has dropped this task.
                    let _ = gateway.send(OfUser(user, Some(change))).await;
                };
                changes.for_each(tell).await;
            }
            gateway.do_send(OfUser(user, None));
        };
        let (follow, following) = follow.remote_handle();
        actix::spawn(follow);
        following
    }

    fn watch_later(&mut self, user: UserId, context: &mut Context<Self>) {
        let Some(watched) = self.watches.get_mut(&user) else {
            return;
        };
        watched.following = None;
        let delay = watched.backoff.next_delay();
        context.run_later(delay, move |gateway, context| {
            let following = gateway.begin_watch(user, context);
            if let Some(watched) = gateway.watches.get_mut(&user) {
                watched.following = Some(following);
            }
        });
    }

    /// The recommendations of a user have changed, who has `total` of them now.
    fn user_changed(&mut self, user: UserId, total: i32, context: &mut Context<Self>) {
        // Before the pages are told, which then ask what has changed.
        self.freshness.user_changed(user);
        self.freshness.films_changed();
        let Some(watched) = self.watches.get_mut(&user) else {
            return;
        };
        watched.backoff.reset();
        match watched.count {
            Some(_) => watched.count_again = Some(total),
            None => self.count(user, total, context),
        }
    }

    /// Counts what is recommended to the user, and tells the pages.
    fn count(&mut self, user: UserId, total: i32, context: &mut Context<Self>) {
        let (calls, client) = self.client();
        let ask = GetMarks {
            user,
            films: Vec::new(),
            keyword: String::new(),
        };
        let counted = async move { marks(&calls, client, ask).await };
        let counted = counted.into_actor(self);
        let count = context.spawn(counted.map(move |marks, gateway, context| {
            let Some(watched) = gateway.watches.get_mut(&user) else {
                return;
            };
            let counts = marks.map(|marks| marks.counts).unwrap_or(Counts {
                total,
                ..watched.told.borrow().unwrap_or_default()
            });
            watched.told.send_replace(Some(counts));
            watched.count = None;
            if let Some(total) = watched.count_again.take() {
                gateway.count(user, total, context);
            }
        }));
        if let Some(watched) = self.watches.get_mut(&user) {
            watched.count = Some(count);
        }
    }
}

/// Tells the gateway when no page listens to a user's recommendations any more.
fn tell_when_left(
    user: UserId,
    told: watch::Sender<Option<Counts>>,
    gateway: Addr<RecommendationsGateway>,
) -> RemoteHandle<()> {
    let left = async move {
        told.closed().await;
        gateway.do_send(Left(user));
    };
    let (left, leaving) = left.remote_handle();
    actix::spawn(left);
    leaving
}
