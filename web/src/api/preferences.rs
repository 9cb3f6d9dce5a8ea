//! The keywords that a user follows.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::LOCATION},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::Json,
    context::ApiContext,
    page::{Page, PageAsked},
    problem::ApiError,
};
use crate::{
    Error,
    actors::recommendations_gateway::{Follow, GetKeywords, StopFollowing},
    page_error::PageError,
    request_context::DEADLINE,
    url,
};

/// Where the keywords are.
const PATH: &str = "/api/v1/preferences";

/// A keyword that a user follows.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"user_id": 1, "keyword": "heist", "matching_films": 3}))]
pub(super) struct Preference {
    user_id: i32,
    /// As it was given.
    keyword: String,
    /// How many films it matches; absent where that was not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    matching_films: Option<i32>,
}

/// A keyword to follow.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({"keyword": "heist"}))]
pub(super) struct PreferenceBody {
    /// A word, or a phrase whose words all have to be there.
    #[schema(min_length = 1, max_length = 255)]
    keyword: String,
}

/// Lists the keywords that you follow.
#[utoipa::path(
    get,
    path = "/api/v1/preferences",
    tag = "preferences",
    operation_id = "list_preferences",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many keywords a page has", minimum = 1, maximum = 100, example = 20),
    ),
    responses((status = 200, description = "A page of your keywords", body = Page<Preference>))
)]
pub(super) async fn list(context: ApiContext) -> Result<HttpResponse, ApiError> {
    let user = context.user()?;
    let asked = PageAsked::of(&context)?;
    let recommendations = &context.app().recommendations;
    let followed = recommendations.ask(GetKeywords(user), DEADLINE).await;
    let followed = followed.map_err(Error::from)??;
    let total = i64::try_from(followed.len()).unwrap_or(i64::MAX);
    let followed = asked.part_of(followed).into_iter();
    let followed = followed.map(|followed| Preference {
        user_id: user.0,
        keyword: followed.keyword,
        matching_films: followed.matching_films,
    });
    let page = Page::new(&context, asked, followed.collect(), total);
    Ok(context.json(page))
}

/// Follows a keyword. To follow one twice is to follow it once, so that the request may be sent again without an `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/api/v1/preferences",
    tag = "preferences",
    operation_id = "create_preference",
    request_body = PreferenceBody,
    responses(
        (status = 201, description = "You follow it now", body = Preference, headers(("Location" = String, description = "Where the keyword is"))),
        (status = 200, description = "You follow it already", body = Preference),
    )
)]
pub(super) async fn follow(
    context: ApiContext,
    Json(PreferenceBody { keyword }): Json<PreferenceBody>,
) -> Result<HttpResponse, ApiError> {
    let user = context.user()?;
    let keyword = keyword.trim().to_owned();
    let follow = Follow {
        user,
        keyword: keyword.clone(),
    };
    let followed = context.app().recommendations.ask(follow, DEADLINE).await;
    let is_new = match followed.map_err(Error::from)? {
        Err(Error::Invalid(sentence)) => {
            let accepted = crate::page_error::as_sentence(&sentence);
            return Err(ApiError::field("keyword", accepted));
        }
        followed => followed?,
    };
    let mut response = if is_new {
        let mut response = context.answer(StatusCode::CREATED);
        let path = format!("{PATH}/{}", url::encode(&keyword));
        response.insert_header((LOCATION, path));
        response
    } else {
        context.answer(StatusCode::OK)
    };
    Ok(response.json(Preference {
        user_id: user.0,
        keyword,
        matching_films: None,
    }))
}

/// Stops following a keyword, which the address has percent-encoded: `/` is `%2F`, or a slash as it is.
#[utoipa::path(
    delete,
    path = "/api/v1/preferences/{keyword}",
    tag = "preferences",
    operation_id = "delete_preference",
    params(("keyword" = String, Path, description = "The keyword, in whatever spelling", example = "heist")),
    responses((status = 204, description = "You follow it no more"))
)]
pub(super) async fn stop(context: ApiContext) -> Result<HttpResponse, ApiError> {
    let user = context.user()?;
    // The path as it was sent: a keyword may hold slashes, and percent signs that mean themselves.
    let path = context.request.uri().path();
    let encoded = path.strip_prefix(PATH).unwrap_or_default();
    let encoded = encoded.strip_prefix('/').unwrap_or_default();
    let keyword = url::decode(encoded).ok_or(ApiError::Page(PageError::BrokenForm))?;
    let stop = StopFollowing { user, keyword };
    let stopped = context.app().recommendations.ask(stop, DEADLINE).await;
    match stopped.map_err(Error::from)?? {
        true => Ok(context.answer(StatusCode::NO_CONTENT).finish()),
        false => Err(ApiError::NotFollowed),
    }
}
