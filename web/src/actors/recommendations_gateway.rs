//! The pages' way to the recommendations service: each message is one call.
//!
//! Watches have a connection of their own, so that open live pages cannot hold up calls.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use futures::{StreamExt, stream::BoxStream};
use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, GetPreferencesRequest,
    RecommendationsRequest, WatchRecommendationsRequest,
    recommendations_client::RecommendationsClient,
};
use proto::{FilmId, UserId};
use runtime::{ChildGuard, ServiceAddress};
use tonic::transport::Channel;

use super::ServiceClient;
use crate::error::{Error, Service};

/// How long recommendations may take to answer a question of a page.
const DEADLINE: Duration = Duration::from_secs(3);
/// How many answers are kept, to be given again as long as recommendations says that they hold.
const KEPT_ANSWERS: usize = 64;

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
    /// The state of the recommendations service at that time; older services do not tell.
    pub state: Option<i64>,
}

/// A user's recommendations may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecommendationsChanged {
    /// How many films they are recommended now.
    pub total: i32,
}

/// Tells of changes as they come: once at its beginning, and then after each. An error ends it.
pub type Changes = BoxStream<'static, Result<RecommendationsChanged, Error>>;

/// Asks for the keywords that a user follows.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<FollowedKeyword>, Error>")]
pub struct GetKeywords(pub UserId);

/// Asks to follow a keyword.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
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
#[rtype(result = "Result<Arc<Recommended>, Error>")]
pub struct GetRecommended {
    /// Whose films.
    pub user: UserId,
    /// How many of the newest to pass over.
    pub offset: i32,
    /// How many to answer at most; 0 means the service's default.
    pub max: i32,
    /// What was answered in this state will do, without asking the service whether it is newer now.
    pub as_of: Option<i64>,
}

/// Asks to be told when a user's recommendations change.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Changes, Error>")]
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
    pub fn new(address: &ServiceAddress) -> Self {
        let calls = ServiceClient::new(Service::Recommendations, address);
        Self {
            watches: calls.separate(),
            calls,
        }
    }
}

/// What was asked lately (whose films, how many passed over, how many at most), with the answer.
type Answers = HashMap<(UserId, i32, i32), Arc<Recommended>>;

/// The actor that calls the recommendations service. Each call has a deadline; one that cannot be
/// made is [`Error::ServiceUnavailable`].
#[derive(Debug)]
pub struct RecommendationsGateway {
    connection: RecommendationsConnection,
    answers: Rc<RefCell<Answers>>,
    guard: ChildGuard,
}

impl RecommendationsGateway {
    /// Makes the actor.
    pub fn new(connection: RecommendationsConnection, guard: ChildGuard) -> Self {
        Self {
            connection,
            answers: Rc::default(),
            guard,
        }
    }

    fn client(&self) -> (ServiceClient, RecommendationsClient<Channel>) {
        let calls = self.connection.calls.clone();
        let client = RecommendationsClient::new(calls.channel());
        (calls, client)
    }
}

impl Actor for RecommendationsGateway {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl Handler<GetKeywords> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Vec<FollowedKeyword>, Error>>;

    fn handle(&mut self, GetKeywords(user): GetKeywords, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        Box::pin(async move {
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

impl Handler<Follow> for RecommendationsGateway {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Follow { user, keyword }: Follow, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        Box::pin(async move {
            let request = CreatePreferenceRequest {
                user_id: user.0,
                keyword,
            };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            calls
                .call(
                    "CreatePreference",
                    DEADLINE,
                    client.create_preference(request),
                )
                .await?;
            Ok(())
        })
    }
}

impl Handler<StopFollowing> for RecommendationsGateway {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, message: StopFollowing, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        Box::pin(async move {
            let StopFollowing { user, keyword } = message;
            let request = DeletePreferenceRequest {
                user_id: user.0,
                keyword,
            };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            let response = calls
                .call(
                    "DeletePreference",
                    DEADLINE,
                    client.delete_preference(request),
                )
                .await?;
            Ok(response.success)
        })
    }
}

impl Handler<GetRecommended> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Arc<Recommended>, Error>>;

    fn handle(&mut self, message: GetRecommended, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        let answers = self.answers.clone();
        Box::pin(async move {
            let user = message.user;
            let question = (user, message.offset, message.max);
            let known = answers.borrow().get(&question).cloned();
            let known_state = known.as_ref().and_then(|known| known.state);
            if let Some(known) = known
                .as_ref()
                .filter(|known| known.state.is_some() && known.state == message.as_of)
            {
                return Ok(known.clone());
            }
            let request = RecommendationsRequest {
                user_id: user.to_string(),
                max_results: message.max,
                offset: message.offset,
                known_state: known_state.unwrap_or_default(),
            };
            let request = ServiceClient::request(request, Some(user), DEADLINE);
            let response = calls
                .call(
                    "GetRecommendations",
                    DEADLINE,
                    client.get_recommendations(request),
                )
                .await?;
            if let Some(known) = known.filter(|_| response.unchanged) {
                return Ok(known);
            }
            let state = Some(response.state).filter(|state| *state != 0);
            let films: Vec<_> = response
                .recommendations
                .into_iter()
                .filter_map(recommended_film)
                .collect();
            let listed = i32::try_from(films.len()).unwrap_or(i32::MAX);
            // Older services do not count; an empty page says nothing of how many there are.
            let seen = if listed > 0 {
                message.offset.saturating_add(listed)
            } else {
                0
            };
            let total = response.total.max(seen);
            let recommended = Arc::new(Recommended {
                films,
                total,
                state,
            });
            if state.is_some() {
                let mut answers = answers.borrow_mut();
                if answers.len() >= KEPT_ANSWERS {
                    answers.clear();
                }
                answers.insert(question, recommended.clone());
            }
            Ok(recommended)
        })
    }
}

impl Handler<Watch> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Changes, Error>>;

    fn handle(&mut self, Watch { user }: Watch, _: &mut Context<Self>) -> Self::Result {
        let watches = self.connection.watches.clone();
        Box::pin(async move {
            let mut client = RecommendationsClient::new(watches.channel());
            let request = WatchRecommendationsRequest { user_id: user.0 };
            let mut request = ServiceClient::request(request, Some(user), DEADLINE);
            // The deadline is that of the beginning; a watch goes on.
            request.metadata_mut().remove("grpc-timeout");
            let name = "WatchRecommendations";
            let changes = watches
                .call(name, DEADLINE, client.watch_recommendations(request))
                .await?;
            let changes = changes.map(move |change| match change {
                Ok(change) => Ok(RecommendationsChanged {
                    total: change.total,
                }),
                Err(status) => Err(watches.error(name, status)),
            });
            Ok(changes.boxed())
        })
    }
}

fn recommended_film(film: proto::recommendations::MovieRecommendation) -> Option<RecommendedFilm> {
    Some(RecommendedFilm {
        id: film.id.parse().ok()?,
        title: film.title,
        description: film.description,
        genre: film.genre,
        // On the wire 0 stands for no rating.
        rating: (film.rating > 0.0).then_some(film.rating),
        release_year: film.release_year,
        matched_keywords: film.matched_keywords,
    })
}
