//! The calls of the recommendations service: a message that the pages send is one of them. An older service lacks some
//! calls; what they would answer is made up from others.

use actix::{Context, Handler, ResponseFuture};
use proto::{
    FilmId, Role, Scope, Scopes, UserId,
    recommendations::{
        CreatePreferenceRequest, DeletePreferenceRequest, FindFilmsRequest, GetPreferencesRequest,
        MarkFilmsRequest, MarkSeenRequest, MovieRecommendation, RecommendationsRequest,
        recommendations_client::RecommendationsClient,
    },
};
use runtime::{
    grpc::{Person, ServiceChannel},
    supervision::in_request,
};

use super::{
    Counts, DEADLINE, FilmMarks, FindFilms, Follow, FollowedKeyword, Found, GetKeywords, GetMarks,
    GetRecommended, MarkSeen, RecommendationsGateway, Recommended, RecommendedFilm, StopFollowing,
};
use crate::{actors::ServiceClient, error::Error};

/// How many recommendations of a service that cannot mark films are looked through.
const LOOKED_THROUGH: i32 = 1_000;

/// The user, who acts with no more than these calls ask for. Whether they may at all was decided before.
pub(super) fn as_reader(user: UserId) -> Person {
    Person {
        id: user,
        role: Role::Reader,
        scopes: Scopes::from_iter([Scope::Read, Scope::Write]),
    }
}

impl Handler<GetKeywords> for RecommendationsGateway {
    type Result = ResponseFuture<Result<Vec<FollowedKeyword>, Error>>;

    fn handle(&mut self, GetKeywords(user): GetKeywords, _: &mut Context<Self>) -> Self::Result {
        let (calls, mut client) = self.client();
        in_request(async move {
            let request = GetPreferencesRequest { user_id: user.0 };
            let request = ServiceClient::request(request, Some(as_reader(user)), DEADLINE);
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
            let request = ServiceClient::request(request, Some(as_reader(user)), DEADLINE);
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
            let request = ServiceClient::request(request, Some(as_reader(user)), DEADLINE);
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
            let request = ServiceClient::request(request, Some(as_reader(user)), DEADLINE);
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

async fn recommended(
    calls: &ServiceClient,
    mut client: RecommendationsClient<ServiceChannel>,
    asked: GetRecommended,
) -> Result<(Vec<MovieRecommendation>, i32), Error> {
    let request = RecommendationsRequest {
        user_id: asked.user.to_string(),
        max_results: asked.max,
        offset: asked.offset,
    };
    let request = ServiceClient::request(request, Some(as_reader(asked.user)), DEADLINE);
    let response = calls
        .call(
            "GetRecommendations",
            DEADLINE,
            client.get_recommendations(request),
        )
        .await?;
    Ok((response.recommendations, response.total))
}

pub(super) async fn marks(
    calls: &ServiceClient,
    mut client: RecommendationsClient<ServiceChannel>,
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
    let request = ServiceClient::request(request, Some(as_reader(user)), DEADLINE);
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
    client: RecommendationsClient<ServiceChannel>,
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
