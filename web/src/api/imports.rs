//! Many films at once: those that are known by an id elsewhere are brought up to date, and the others added.

use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev::Payload};
use futures::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{large, read},
    context::ApiContext,
    movies::path,
    problem::{ApiError, FieldProblem},
};
use crate::{
    Error,
    actors::catalog_gateway::{
        ExternalIds, ImportFilms, ImportOutcome, ImportedFilm, MANY_FILMS_DEADLINE,
    },
};

/// How many films one request imports at most.
const MOST_FILMS: usize = 1_000;
/// How many of them the catalog takes at once.
const FILMS_A_CALL: usize = 500;
/// The media types of imports.
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// A film to import. What is empty or absent leaves a film that is known as it is; ids are added to those that it has.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(example = json!({"title": "Heat", "genre": "Crime, Drama", "rating": 8.3, "release_year": "1995", "external_ids": {"imdb": "tt0113277"}}))]
pub(super) struct MovieToImport {
    /// 1 to 255 characters.
    title: String,
    /// Up to 60,000 bytes.
    #[serde(default)]
    #[schema(nullable)]
    description: Option<String>,
    /// One or several genres with commas between them, up to 100 characters.
    #[serde(default)]
    #[schema(nullable)]
    genre: Option<String>,
    /// From 0 to 10.
    #[serde(default)]
    #[schema(nullable)]
    rating: Option<f64>,
    /// Four digits, from 1878 to 2100; or empty.
    #[serde(default)]
    #[schema(nullable)]
    release_year: Option<String>,
    /// Its ids elsewhere, by source: imdb, letterboxd, movielens, tmdb or wikidata. It needs one, unless films are matched by title and year.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    external_ids: Option<ExternalIds>,
}

impl From<MovieToImport> for ImportedFilm {
    fn from(movie: MovieToImport) -> Self {
        Self {
            title: movie.title,
            description: movie.description.unwrap_or_default(),
            genre: movie.genre.unwrap_or_default(),
            rating: movie.rating,
            release_year: movie.release_year.unwrap_or_default(),
            external_ids: movie.external_ids.unwrap_or_default(),
        }
    }
}

/// The films of an import.
pub(super) struct MoviesToImport(Vec<MovieToImport>);

impl FromRequest for MoviesToImport {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            const TOLD: &str = "application/json or application/x-ndjson";
            let body = large(&request, payload, &[JSON, LINES], TOLD).await?;
            let has_lines = request.content_type().trim().eq_ignore_ascii_case(LINES);
            let movies = match has_lines {
                true => lines(&body)?,
                false => read(&body)?,
            };
            match movies.len() {
                0..=MOST_FILMS => Ok(Self(movies)),
                _ => Err(too_many()),
            }
        })
    }
}

fn too_many() -> ApiError {
    ApiError::field("body", format!("Up to {MOST_FILMS} films; send several."))
}

/// One film a line; empty lines are passed over.
fn lines(body: &[u8]) -> Result<Vec<MovieToImport>, ApiError> {
    let mut movies = Vec::new();
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if movies.len() == MOST_FILMS {
            return Err(too_many());
        }
        movies.push(read(line).map_err(|error| error.at(&format!("[{number}]")))?);
    }
    Ok(movies)
}

/// What became of the films of an import.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "created": 1, "updated": 0, "unchanged": 0, "refused": 1,
    "results": [
        {"result": "created", "movie_id": "6f9619ff-8b86-4011-b42d-00c04fc964ff", "link": "/api/v1/movies/6f9619ff-8b86-4011-b42d-00c04fc964ff"},
        {"result": "refused", "errors": [{"field": "rating", "message": "A rating is a number from 0 to 10, such as 7.5, or nothing."}]}
    ]
}))]
pub(super) struct Imported {
    /// How many films were added.
    created: usize,
    /// How many films say something else now.
    updated: usize,
    /// How many films said the same before.
    unchanged: usize,
    /// For how many nothing was done.
    refused: usize,
    /// One for each film of the request, in its order.
    results: Vec<ImportResult>,
}

/// What became of a film.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ImportResult {
    result: Outcome,
    /// The film; absent if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    movie_id: Option<String>,
    /// Where the film is; absent if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    link: Option<String>,
    /// Why it was refused; absent if it was not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// What became of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportOutcome)]
enum Outcome {
    Created,
    Updated,
    Unchanged,
    Refused,
}

impl ImportResult {
    fn new(context: &ApiContext, outcome: ImportOutcome) -> Self {
        let (result, id, errors) = match outcome {
            ImportOutcome::Created(id) => (Outcome::Created, Some(id), Vec::new()),
            ImportOutcome::Updated(id) => (Outcome::Updated, Some(id), Vec::new()),
            ImportOutcome::Unchanged(id) => (Outcome::Unchanged, Some(id), Vec::new()),
            ImportOutcome::Refused(errors) => (Outcome::Refused, None, errors),
        };
        Self {
            result,
            link: id.as_ref().map(|id| context.link(&path(id))),
            movie_id: id.map(|id| id.to_string()),
            errors: errors.iter().map(FieldProblem::from).collect(),
        }
    }
}

/// Adds up to 1,000 films, or brings those up to date that are known by one of their external ids, or by title and year if you like. Sent
/// again, it changes nothing. A body that is not understood is refused as a whole; otherwise each film has a result of its own.
#[utoipa::path(
    post,
    path = "/api/v1/movies/import",
    tag = "movies",
    operation_id = "import_movies",
    params(("match_title_and_year" = Option<bool>, Query, description = "A film that is found by none of its external ids is found by title and year", example = true)),
    request_body(description = "At most 1,000 films and 1 MiB: an array, or one film a line", content(
        (Vec<MovieToImport> = "application/json", example = json!([{"title": "Thief", "release_year": "1981", "external_ids": {"imdb": "tt0083190"}}])),
        (String = "application/x-ndjson", example = json!("{\"title\": \"Collateral\", \"external_ids\": {\"tmdb\": \"1538\"}}\n{\"title\": \"Ali\", \"external_ids\": {\"tmdb\": \"8489\"}}\n")),
    )),
    responses((status = 200, description = "What became of each film", body = Imported))
)]
pub(super) async fn import(
    context: ApiContext,
    MoviesToImport(movies): MoviesToImport,
) -> Result<HttpResponse, ApiError> {
    let match_title_and_year = context.flag("match_title_and_year")?;
    let mut results = Vec::with_capacity(movies.len());
    let films: Vec<ImportedFilm> = movies.into_iter().map(ImportedFilm::from).collect();
    for films in films.chunks(FILMS_A_CALL) {
        let import = ImportFilms {
            person: context.person(),
            films: films.to_vec(),
            match_title_and_year,
        };
        let imported = context.app().catalog.ask(import, MANY_FILMS_DEADLINE).await;
        let outcomes = imported.map_err(Error::from)??.into_iter();
        results.extend(outcomes.map(|outcome| ImportResult::new(&context, outcome)));
    }
    let count = |wanted: Outcome| {
        let alike = results.iter().filter(|result| result.result == wanted);
        alike.count()
    };
    Ok(context.json(Imported {
        created: count(Outcome::Created),
        updated: count(Outcome::Updated),
        unchanged: count(Outcome::Unchanged),
        refused: count(Outcome::Refused),
        results,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_are_read_line_by_line() {
        let body = b"{\"title\": \"Heat\"}\r\n\n  {\"title\": \"Ronin\", \"rating\": 7}";
        let movies = lines(body).unwrap();
        let titles: Vec<&str> = movies.iter().map(|movie| movie.title.as_str()).collect();
        assert_eq!(titles, ["Heat", "Ronin"]);
        let ApiError::Fields(errors) = lines(b"{\"title\": \"Heat\"}\n{\"title\": 7}").unwrap_err()
        else {
            panic!("a field is at fault");
        };
        assert_eq!(errors[0].field, "[1].title");
        assert!(lines(b"{\"title\": \"Heat\"").is_err());
        let many = "{\"title\": \"Heat\"}\n".repeat(MOST_FILMS + 1);
        assert!(lines(many.as_bytes()).is_err());
    }
}
