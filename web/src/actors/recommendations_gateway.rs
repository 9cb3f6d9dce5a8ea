//! The pages' way to the recommendations service: each message is one call.
//!
//! All live pages of one user share one watch, which has a connection of its own, so that open pages
//! cannot hold up calls. A watch that breaks is begun again as long as a page is open. A task follows each stream and sends the
//! actor what comes; each step between them is the actor's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseFuture,
    SpawnHandle, StreamHandler, WrapFuture,
};
use futures::{FutureExt, StreamExt, future::RemoteHandle};
use proto::{
    FilmId, UserId,
    recommendations::{
        CreatePreferenceRequest, DeletePreferenceRequest, FindFilmsRequest, GetPreferencesRequest,
        MarkFilmsRequest, MarkSeenRequest, MovieRecommendation, RecommendationsChanged,
        RecommendationsRequest, UsersChanged, WatchRecommendationsRequest, WatchUsersRequest,
        recommendations_client::RecommendationsClient,
    },
};
use runtime::{Backoff, ChildGuard, Process, ServiceAddress, Wake, supervision::in_request};
use tokio::{sync::watch, time::timeout};
use tonic::{Status, transport::Channel};

use super::ServiceClient;
use crate::{
    error::{Error, Service},
    freshness::Freshness,
};

/// How long recommendations may take to answer a question of a page.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long it takes until a watch that ended is begun again: at first, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(15);
/// How many recommendations of a service that cannot mark films are looked through.
const LOOKED_THROUGH: i32 = 1_000;

/// A keyword that a user follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedKeyword {
    /// The keyword as it was given.
    pub keyword: String,
    /// How many films it matches; older services do not say.
    pub matching_films: Option<i32>,
}

/// A film that a user is recommended, with what the recommendations service knows of it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the facts are those of `Film`")]
pub struct RecommendedFilm {
    /// Empty or malformed ids of strange peers are left out of the list.
    pub id: FilmId,
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: Option<f64>,
    pub release_year: String,
    /// The user's keywords that match it; older services do not say.
    pub matched_keywords: Vec<String>,
}

/// Some of the films that a user is recommended, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommended {
    /// The films asked for.
    pub films: Vec<RecommendedFilm>,
    /// How many there are in all.
    pub total: i32,
    /// Whether the service gives a reason for each film; older ones give none.
    pub gives_reasons: bool,
}

/// Some of the films that a keyword matches, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The films asked for.
    pub films: Vec<RecommendedFilm>,
    /// How many the keyword matches in all.
    pub total: i32,
    /// How many films the service knows.
    pub known: i32,
}

/// How many films are recommended to a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In all.
    pub total: i32,
    /// Since the user last looked at them; older services do not say, and then it is none.
    pub new: i32,
    /// Whether the numbers are about to change, because the service works on the user's keywords.
    pub is_unsettled: bool,
}

/// Which of some films are recommended to a user, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilmMarks {
    /// How many films are recommended to the user, these or others.
    pub counts: Counts,
    /// The keyword that was asked for, as the user follows it; nothing if the user does not, and older services do not say.
    pub followed: Option<String>,
    reasons: HashMap<FilmId, Vec<String>>,
}

impl FilmMarks {
    /// The user's keywords that a film matches; nothing if it is not recommended to the user.
    pub fn reasons(&self, film: &FilmId) -> Option<&[String]> {
        self.reasons.get(film).map(Vec::as_slice)
    }
}

/// How many films are recommended to a user, each time that they may have changed; nothing before the
/// service has told. It ends when the gateway does.
pub type Totals = watch::Receiver<Option<Counts>>;

/// Asks for the keywords that a user follows.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<FollowedKeyword>, Error>")]
pub struct GetKeywords(pub UserId);

/// Asks for the films that a keyword matches, whether or not a user follows it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Found, Error>")]
pub struct FindFilms {
    /// The keyword.
    pub keyword: String,
    /// How many of the newest to pass over.
    pub offset: i32,
    /// How many to answer at most.
    pub max: i32,
}

/// Asks to follow a keyword; answers whether the user did not follow it before. Older services do not
/// say, and then it is new.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Follow {
    pub user: UserId,
    pub keyword: String,
}

/// Asks to stop following a keyword; answers whether it was followed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct StopFollowing {
    pub user: UserId,
    pub keyword: String,
}

/// Asks for films that a user is recommended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Recommended, Error>")]
pub struct GetRecommended {
    /// Whose films.
    pub user: UserId,
    /// How many of the newest to pass over.
    pub offset: i32,
    /// How many to answer at most.
    pub max: i32,
}

/// Asks which of some films are recommended to a user, and why.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FilmMarks, Error>")]
pub struct GetMarks {
    /// The user.
    pub user: UserId,
    /// The films.
    pub films: Vec<FilmId>,
    /// A keyword of which is asked whether the user follows it, unless it is empty.
    pub keyword: String,
}

/// Asks to remember that a user has looked at the newest recommendations.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct MarkSeen(pub UserId);

/// Asks to be told when a user's recommendations change.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Totals, Error>")]
#[expect(missing_docs, reason = "the name says it")]
pub struct Watch {
    pub user: UserId,
}

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
    watches: HashMap<UserId, UserWatch>,
    guard: ChildGuard,
}

/// The watch of one user's recommendations, for as long as a page listens.
#[derive(Debug)]
struct UserWatch {
    told: watch::Sender<Option<Counts>>,
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
struct OfUser(UserId, Option<RecommendationsChanged>);

/// No page listens to a user's recommendations any more.
#[derive(Message)]
#[rtype(result = "()")]
struct Left(UserId);

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
            watches: HashMap::new(),
            guard,
        }
    }

    fn client(&self) -> (ServiceClient, RecommendationsClient<Channel>) {
        let calls = self.connection.calls.clone();
        let client = RecommendationsClient::new(calls.channel());
        (calls, client)
    }
}

runtime::requested!(RecommendationsGateway);

impl Actor for RecommendationsGateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
        self.guard.ready();
    }
}

/// Begins to watch whose recommendations change. Services that do not tell are asked more often by the pages.
impl Handler<Wake> for RecommendationsGateway {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let mut client = RecommendationsClient::new(self.connection.watches.channel());
        let begun =
            async move { timeout(DEADLINE, client.watch_users(WatchUsersRequest {})).await };
        let begun = begun.into_actor(self);
        context.spawn(begun.map(|begun, gateway, context| match begun {
            Ok(Ok(changes)) => {
                // Whatever changed before this watch began was not told.
                gateway.freshness.all_users_changed();
                context.add_stream(changes.into_inner());
            }
            Ok(Err(_)) | Err(_) => gateway.watch_all_later(context),
        }));
    }
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

impl Handler<GetKeywords> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Vec<FollowedKeyword>, Error>>;

    fn handle(&mut self, GetKeywords(user): GetKeywords, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        in_request(async move {
            let request = GetPreferencesRequest { user_id: user.0 };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            let response = calls
                .call("GetPreferences", DEADLINE, client.get_preferences(request))
                .await?;
            let followed = response
                .preferences
                .into_iter()
                .map(|preference| FollowedKeyword {
                    keyword: preference.keyword,
                    matching_films: preference.matching_films,
                });
            Ok(followed.collect())
        })
    }
}

impl Handler<FindFilms> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Found, Error>>;

    fn handle(&mut self, message: FindFilms, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        in_request(async move {
            let request = FindFilmsRequest {
                keyword: message.keyword,
                max_results: message.max,
                offset: message.offset,
            };
            let request = ServiceClient::request(request, None, DEADLINE);
            let found = calls
                .call("FindFilms", DEADLINE, client.find_films(request))
                .await?;
            let films = found.films.into_iter().filter_map(recommended_film);
            Ok(Found {
                films: films.collect(),
                total: found.total,
                known: found.known_films,
            })
        })
    }
}

impl Handler<Follow> for RecommendationsGateway {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, Follow { user, keyword }: Follow, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let request = CreatePreferenceRequest {
                user_id: user.0,
                keyword,
            };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            let followed = calls
                .call(
                    "CreatePreference",
                    DEADLINE,
                    client.create_preference(request),
                )
                .await;
            // Also after an error: a call that was not answered in time may still have been done.
            freshness.user_changed(user);
            Ok(followed?.is_new.unwrap_or(true))
        })
    }
}

impl Handler<StopFollowing> for RecommendationsGateway {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, message: StopFollowing, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let StopFollowing { user, keyword } = message;
            let request = DeletePreferenceRequest {
                user_id: user.0,
                keyword,
            };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            let stopped = calls
                .call(
                    "DeletePreference",
                    DEADLINE,
                    client.delete_preference(request),
                )
                .await;
            freshness.user_changed(user);
            Ok(stopped?.success)
        })
    }
}

impl Handler<GetRecommended> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Recommended, Error>>;

    fn handle(&mut self, message: GetRecommended, _: &mut Context<Self>) -> Self::Result {
        let (calls, client) = self.client();
        in_request(async move {
            let films = recommended(&calls, client, message.clone()).await?;
            let (listed, total) = films;
            let films: Vec<_> = listed.into_iter().filter_map(recommended_film).collect();
            // Older services do not count; an empty page says nothing of how many there are.
            let seen = match i32::try_from(films.len()).unwrap_or(i32::MAX) {
                0 => 0,
                listed => message.offset.saturating_add(listed),
            };
            Ok(Recommended {
                films,
                total: total.max(seen),
                // The number and the reasons came with one release.
                gives_reasons: total > 0,
            })
        })
    }
}

impl Handler<GetMarks> for RecommendationsGateway {
    type Result = ResponseFuture<Result<FilmMarks, Error>>;

    fn handle(&mut self, message: GetMarks, _: &mut Context<Self>) -> Self::Result {
        let (calls, client) = self.client();
        in_request(async move { marks(&calls, client, message).await })
    }
}

impl Handler<MarkSeen> for RecommendationsGateway {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, MarkSeen(user): MarkSeen, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        let freshness = self.freshness.clone();
        let told = self.watches.get(&user).map(|watch| watch.told.clone());
        in_request(async move {
            let request = MarkSeenRequest { user_id: user.0 };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            let call = client.mark_seen(request);
            calls
                .call_or_unimplemented("MarkSeen", DEADLINE, call)
                .await?;
            freshness.user_changed(user);
            if let Some(told) = told {
                // The user's other pages show the number, too.
                told.send_if_modified(|counts| match counts {
                    Some(counts) => std::mem::take(&mut counts.new) > 0,
                    None => false,
                });
            }
            Ok(())
        })
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
    fn watch_all_later(&mut self, context: &mut Context<Self>) {
        context.notify_later(Wake, self.backoff.next_delay());
    }

    /// Begins to follow a user's recommendations, in a task of its own: the context polls all it has whenever one part of it
    /// wakes.
    fn begin_watch(&self, user: UserId, context: &mut Context<Self>) -> RemoteHandle<()> {
        let watches = self.connection.watches.clone();
        let gateway = context.address();
        let follow = async move {
            let mut client = RecommendationsClient::new(watches.channel());
            let request = WatchRecommendationsRequest { user_id: user.0 };
            let request = ServiceClient::unbounded_request(request, Some(user));
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

async fn recommended(
    calls: &ServiceClient,
    mut client: RecommendationsClient<Channel>,
    asked: GetRecommended,
) -> Result<(Vec<MovieRecommendation>, i32), Error> {
    let request = RecommendationsRequest {
        user_id: asked.user.to_string(),
        max_results: asked.max,
        offset: asked.offset,
    };
    let request = ServiceClient::request(request, Some(asked.user), DEADLINE);
    let response = calls
        .call(
            "GetRecommendations",
            DEADLINE,
            client.get_recommendations(request),
        )
        .await?;
    Ok((response.recommendations, response.total))
}

async fn marks(
    calls: &ServiceClient,
    mut client: RecommendationsClient<Channel>,
    asked: GetMarks,
) -> Result<FilmMarks, Error> {
    let GetMarks {
        user,
        films,
        keyword,
    } = asked;
    let request = MarkFilmsRequest {
        user_id: user.0,
        film_ids: films.iter().map(FilmId::to_string).collect(),
        keyword,
    };
    let request = ServiceClient::request(request, Some(user), DEADLINE);
    let call = client.mark_films(request);
    let marked = calls
        .call_or_unimplemented("MarkFilms", DEADLINE, call)
        .await?;
    let Some(marked) = marked else {
        return marks_of_older(calls, client, user).await;
    };
    let reasons = marked
        .marks
        .into_iter()
        .filter_map(|mark| Some((mark.film_id.parse().ok()?, mark.matched_keywords)));
    Ok(FilmMarks {
        counts: Counts {
            total: marked.total,
            new: marked.new.unwrap_or_default(),
            is_unsettled: marked.is_unsettled,
        },
        followed: marked.followed_keyword,
        reasons: reasons.collect(),
    })
}

/// The marks that follow from the recommendations of an older service.
async fn marks_of_older(
    calls: &ServiceClient,
    client: RecommendationsClient<Channel>,
    user: UserId,
) -> Result<FilmMarks, Error> {
    let all = GetRecommended {
        user,
        offset: 0,
        max: LOOKED_THROUGH,
    };
    let (films, total) = recommended(calls, client, all).await?;
    let seen = i32::try_from(films.len()).unwrap_or(i32::MAX);
    let reasons = films
        .into_iter()
        .filter_map(|film| Some((film.id.parse().ok()?, film.matched_keywords)));
    Ok(FilmMarks {
        reasons: reasons.collect(),
        counts: Counts {
            total: total.max(seen),
            ..Counts::default()
        },
        followed: None,
    })
}

fn recommended_film(film: MovieRecommendation) -> Option<RecommendedFilm> {
    Some(RecommendedFilm {
        id: film.id.parse().ok()?,
        title: film.title,
        description: film.description,
        genre: film.genre,
        // On the wire 0 alone stands for no rating.
        rating: film
            .exact_rating
            .or_else(|| (film.rating > 0.0).then_some(film.rating)),
        release_year: film.release_year,
        matched_keywords: film.matched_keywords,
    })
}
