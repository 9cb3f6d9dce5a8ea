//! The films that a user is recommended, and why.

use actix_web::HttpResponse;
use proto::{UserId, genres::genres};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Json, Whole},
    context::ApiContext,
    movies::path,
    page::{MAX_SIZE, Page, PageAsked},
    problem::ApiError,
};
use crate::{
    Error,
    actors::recommendations_gateway::{GetRecommended, Recommended, RecommendedFilm},
    request_context::DEADLINE,
};

/// How many films are asked for while those of some genres are looked for.
const LOOKED_AT_ONCE: i32 = 100;
/// How many of the newest recommendations are looked through for those of some genres.
const LOOKED_THROUGH: i32 = 1_000;
/// How many genres may be asked for.
const MOST_GENRES: usize = 20;
/// How many films are returned unless more or fewer are asked for.
const DEFAULT_LIMIT: i32 = 20;

/// A film that is recommended.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "movie_id": "6f9619ff-8b86-4011-b42d-00c04fc964ff",
    "score": 2.0,
    "reasons": ["heist", "los angeles"],
    "title": "Heat",
    "genre": "Crime, Drama",
    "rating": 8.3,
    "release_year": "1995",
    "link": "/api/v1/movies/6f9619ff-8b86-4011-b42d-00c04fc964ff"
}))]
pub(super) struct Recommendation {
    movie_id: String,
    /// How many of your keywords it matches.
    #[schema(minimum = 0)]
    score: f64,
    /// Those keywords.
    reasons: Vec<String>,
    title: String,
    /// One or several genres with commas between them; empty if unknown.
    genre: String,
    /// From 0 to 10; null if there is none.
    rating: Option<f64>,
    /// Four digits; empty if unknown.
    release_year: String,
    /// Where the film is.
    link: String,
}

impl Recommendation {
    fn new(context: &ApiContext, film: RecommendedFilm) -> Self {
        let score = u32::try_from(film.matched_keywords.len()).unwrap_or(u32::MAX);
        Self {
            link: context.link(&path(&film.id)),
            movie_id: film.id.to_string(),
            score: score.into(),
            reasons: film.matched_keywords,
            title: film.title,
            genre: film.genre,
            rating: film.rating,
            release_year: film.release_year,
        }
    }
}

/// For whom films are asked for.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({"user_id": 1, "limit": 10, "filter_genres": ["Crime"]}))]
pub(super) struct RecommendationsBody {
    /// Your own id.
    #[schema(value_type = i32)]
    user_id: Whole,
    /// How many films at most; 20 if absent.
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 100)]
    limit: Option<Whole>,
    /// Only films that have one of these genres, in whatever case; any, if there is none.
    #[serde(default)]
    #[schema(nullable, max_items = 20)]
    filter_genres: Option<Vec<String>>,
}

/// Films that are recommended to a user, the newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Recommendations {
    user_id: i32,
    items: Vec<Recommendation>,
}

/// Lists the films that you are recommended, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/recommendations",
    tag = "recommendations",
    operation_id = "list_recommendations",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many films a page has", minimum = 1, maximum = 100, example = 20),
    ),
    responses((status = 200, description = "A page of the films", body = Page<Recommendation>))
)]
pub(super) async fn list(context: ApiContext) -> Result<HttpResponse, ApiError> {
    let user = context.user()?;
    let asked = PageAsked::of(&context)?;
    let mut recommended = read(&context, user, asked.offset(), asked.size).await?;
    if recommended.films.is_empty() && asked.page > 1 {
        // How many there are is certain only where there are any.
        recommended.total = read(&context, user, 0, 1).await?.total;
    }
    let films = recommended.films.into_iter();
    let films = films.map(|film| Recommendation::new(&context, film));
    let page = Page::new(&context, asked, films.collect(), recommended.total.into());
    Ok(context.json(page))
}

/// Returns films that you are recommended, the newest first, of some genres if you like. It changes nothing, so that it may be sent
/// again. Films of the genres are looked for among the newest 1,000.
#[utoipa::path(
    post,
    path = "/api/v1/recommendations",
    tag = "recommendations",
    operation_id = "find_recommendations",
    request_body = RecommendationsBody,
    responses((status = 200, description = "The films", body = Recommendations))
)]
pub(super) async fn find(
    context: ApiContext,
    Json(body): Json<RecommendationsBody>,
) -> Result<HttpResponse, ApiError> {
    let user = context.user()?;
    if body.user_id.0 != user.0 {
        return Err(ApiError::NotYours);
    }
    let limit = body.limit.map_or(DEFAULT_LIMIT, |Whole(limit)| limit);
    if !(1..=MAX_SIZE).contains(&limit) {
        let accepted = format!("A whole number from 1 to {MAX_SIZE}.");
        return Err(ApiError::field("limit", accepted));
    }
    let wanted = body.filter_genres.unwrap_or_default();
    if wanted.len() > MOST_GENRES {
        let accepted = format!("Up to {MOST_GENRES} genres.");
        return Err(ApiError::field("filter_genres", accepted));
    }
    let wanted = wanted.join(",");
    let films = match wanted.is_empty() {
        true => read(&context, user, 0, limit).await?.films,
        false => of_genres(&context, user, &wanted, limit).await?,
    };
    let items = films.into_iter();
    let items = items.map(|film| Recommendation::new(&context, film));
    Ok(context.json(Recommendations {
        user_id: user.0,
        items: items.collect(),
    }))
}

/// The newest recommendations of any of the genres.
async fn of_genres(
    context: &ApiContext,
    user: UserId,
    wanted: &str,
    limit: i32,
) -> Result<Vec<RecommendedFilm>, Error> {
    let wanted = genres(wanted);
    let limit = usize::try_from(limit).unwrap_or_default();
    let (mut found, mut offset) = (Vec::new(), 0);
    while offset < LOOKED_THROUGH {
        let recommended = read(context, user, offset, LOOKED_AT_ONCE).await?;
        let is_last = recommended.films.is_empty();
        found.extend(recommended.films.into_iter().filter(|film| {
            let own = genres(&film.genre);
            wanted
                .iter()
                .any(|wanted| own.iter().any(|own| own.folded == wanted.folded))
        }));
        offset += LOOKED_AT_ONCE;
        if is_last || found.len() >= limit || offset >= recommended.total {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

async fn read(
    context: &ApiContext,
    user: UserId,
    offset: i32,
    max: i32,
) -> Result<Recommended, Error> {
    let ask = GetRecommended { user, offset, max };
    context.app().recommendations.ask(ask, DEADLINE).await?
}
