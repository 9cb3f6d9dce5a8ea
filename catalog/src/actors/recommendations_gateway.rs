//! The catalog's way to the recommendations service.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use futures::{StreamExt, stream::BoxStream};
use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, GetPreferencesRequest,
    RecommendationsRequest, WatchRecommendationsRequest,
    recommendations_client::RecommendationsClient,
};
use runtime::{ChildGuard, Dependency};
use tonic::{Code, Request, Status, transport::Channel};

use crate::{Error, UserId, config::RecommendationsHost, movies::FilmId};

/// How long recommendations may take to answer a question of a page.
const CALL_DEADLINE: Duration = Duration::from_secs(3);
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
#[expect(missing_docs, reason = "the facts are those of `Movie`")]
pub struct RecommendedFilm {
    /// Empty or malformed ids of strange peers are left out of the list.
    pub id: FilmId,
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: Option<f32>,
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

/// The actor that calls the recommendations service. Each call has a deadline; one that cannot be
/// made is [`Error::RecommendationsAway`].
#[derive(Debug)]
pub struct RecommendationsGateway {
    line: Line,
    answers: Rc<RefCell<Answers>>,
    guard: ChildGuard,
}

/// What was asked lately (whose films, how many passed over, how many at most), with the answer.
type Answers = HashMap<(UserId, i32, i32), Arc<Recommended>>;

/// The line to the recommendations service, shared by all who need it.
#[derive(Debug, Clone)]
pub struct Line {
    pub(super) client: RecommendationsClient<Channel>,
    pub(super) dependency: Arc<Dependency>,
}

impl RecommendationsGateway {
    /// Makes the actor; the line connects when it is first needed.
    pub fn new(line: Line, guard: ChildGuard) -> Self {
        Self {
            line,
            answers: Rc::default(),
            guard,
        }
    }
}

impl Actor for RecommendationsGateway {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl Line {
    /// Runs one call within its deadline.
    async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Error> {
        let answer = tokio::time::timeout(CALL_DEADLINE, call).await;
        match &answer {
            Err(_) => self.dependency.is_gone(format_args!(
                "no answer within {} s",
                CALL_DEADLINE.as_secs()
            )),
            Ok(Err(status)) if is_away(status) => self.dependency.is_gone(status.message()),
            Ok(_) => self.dependency.is_there(),
        }
        match answer {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(refused(what, status)),
            Err(_) => {
                tracing::debug!(call = what, "recommendations did not answer {what} in time");
                Err(Error::RecommendationsAway)
            }
        }
    }
}

/// Whether nobody was there to do what was asked.
fn is_away(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
            true
        }
        // A connection that breaks under a call is told as unknown.
        Code::Unknown => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

fn refused(what: &'static str, status: Status) -> Error {
    match status.code() {
        // The first is wrong always, the second as things are: both are for the user to mend.
        Code::InvalidArgument | Code::FailedPrecondition => {
            Error::Invalid(status.message().to_owned())
        }
        // Older services do not know our additions; for the caller that is the same as away.
        code if code == Code::Unimplemented || is_away(&status) => {
            tracing::debug!(call = what, %status, "recommendations did not answer {what}");
            Error::RecommendationsAway
        }
        _ => Error::RecommendationsFailed(Box::new(status)),
    }
}

impl Handler<GetKeywords> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Vec<FollowedKeyword>, Error>>;

    fn handle(&mut self, GetKeywords(user): GetKeywords, _: &mut Context<Self>) -> Self::Result {
        let line = self.line.clone();
        Box::pin(async move {
            let request = GetPreferencesRequest { user_id: user.0 };
            let response = line
                .call(
                    "GetPreferences",
                    line.client.clone().get_preferences(request),
                )
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
        let line = self.line.clone();
        Box::pin(async move {
            let request = CreatePreferenceRequest {
                user_id: user.0,
                keyword,
            };
            line.call(
                "CreatePreference",
                line.client.clone().create_preference(request),
            )
            .await?;
            Ok(())
        })
    }
}

impl Handler<StopFollowing> for RecommendationsGateway {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, message: StopFollowing, _: &mut Context<Self>) -> Self::Result {
        let line = self.line.clone();
        Box::pin(async move {
            let StopFollowing { user, keyword } = message;
            let request = DeletePreferenceRequest {
                user_id: user.0,
                keyword,
            };
            let response = line
                .call(
                    "DeletePreference",
                    line.client.clone().delete_preference(request),
                )
                .await?;
            Ok(response.success)
        })
    }
}

impl Handler<GetRecommended> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Arc<Recommended>, Error>>;

    fn handle(&mut self, message: GetRecommended, _: &mut Context<Self>) -> Self::Result {
        let line = self.line.clone();
        let answers = self.answers.clone();
        Box::pin(async move {
            let question = (message.user, message.offset, message.max);
            let known = answers.borrow().get(&question).cloned();
            let known_state = known.as_ref().and_then(|known| known.state);
            if let Some(known) = known
                .as_ref()
                .filter(|known| known.state.is_some() && known.state == message.as_of)
            {
                return Ok(known.clone());
            }
            let request = RecommendationsRequest {
                user_id: message.user.to_string(),
                max_results: message.max,
                offset: message.offset,
                known_state: known_state.unwrap_or_default(),
            };
            let response = line
                .call(
                    "GetRecommendations",
                    line.client.clone().get_recommendations(request),
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
        let line = self.line.clone();
        Box::pin(async move {
            let request = Request::new(WatchRecommendationsRequest { user_id: user.0 });
            let watch = "WatchRecommendations";
            let changes = line
                .call(watch, line.client.clone().watch_recommendations(request))
                .await?;
            let changes = changes.map(move |change| match change {
                Ok(change) => Ok(RecommendationsChanged {
                    total: change.total,
                }),
                Err(status) => Err(refused(watch, status)),
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
        #[expect(
            clippy::cast_possible_truncation,
            reason = "ratings are small decimals"
        )]
        rating: (film.rating > 0.0).then_some(film.rating as f32),
        release_year: film.release_year,
        matched_keywords: film.matched_keywords,
    })
}

/// A line to the recommendations service that connects when it is first needed, and again whenever
/// it has to.
pub fn line(host: &RecommendationsHost) -> Line {
    let channel = host
        .endpoint()
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // A peer that vanished without a word is noticed, also while nothing is asked.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    Line {
        client: RecommendationsClient::new(channel),
        dependency: Arc::new(Dependency::new("recommendations")),
    }
}
