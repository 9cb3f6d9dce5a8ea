//! The genres that films have.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    context::ApiContext,
    page::{Page, PageAsked},
    problem::ApiError,
};
use crate::{Error, actors::catalog_gateway::GetSummary, request_context::DEADLINE};

/// A genre.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"genre": "Crime", "movies": 12}))]
pub(super) struct Genre {
    /// As most films have it.
    genre: String,
    /// How many films have it. One of several genres counts in each of them.
    #[schema(minimum = 0)]
    movies: i64,
}

/// Lists the genres, the most frequent first.
#[utoipa::path(
    get,
    path = "/api/v1/genres",
    tag = "movies",
    operation_id = "list_genres",
    params(
        ("page" = Option<i32>, Query, description = "The page, from 1", minimum = 1, example = 1),
        ("page_size" = Option<i32>, Query, description = "How many genres a page has", minimum = 1, maximum = 100, example = 20),
    ),
    responses((status = 200, description = "A page of the genres", body = Page<Genre>))
)]
pub(super) async fn list(context: ApiContext) -> Result<HttpResponse, ApiError> {
    let asked = PageAsked::of(&context)?;
    let summary = context.app().catalog.ask(GetSummary, DEADLINE).await;
    let genres = summary.map_err(Error::from)??.genres;
    let total = i64::try_from(genres.len()).unwrap_or(i64::MAX);
    let genres = asked.part_of(genres).into_iter();
    let genres = genres.map(|(genre, movies)| Genre { genre, movies });
    let page = Page::new(&context, asked, genres.collect(), total);
    Ok(context.json(page))
}
